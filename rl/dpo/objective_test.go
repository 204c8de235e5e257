package dpo

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// row makes the answer of a golden row: what its mask has, with what policy and reference say of it.
func row(mask, logprobs, ref []float64) (*Row, []float32) {
	r, lp, ours := &Row{Tokens: make([]int32, len(mask)+1)}, []float32{}, []float32{}
	for x, m := range mask {
		if m == 0 {
			continue
		}
		r.Targets = append(r.Targets, int32(x+1))
		lp = append(lp, float32(logprobs[x]))
		if ref != nil {
			ours = append(ours, float32(ref[x]))
		}
	}
	r.shared = len(r.Targets)
	r.ref = r.sum(ours)
	return r, lp
}

// The trainer's own objective on whole mini-batches is TRL's: pairs, the SFT term, LD-DPO.
func TestObjectiveIsTRLs(t *testing.T) {
	seen := 0
	for _, c := range readGolden(t).DPO {
		cfg := Default()
		cfg.Terms, cfg.Loss = c.terms(), c.LossTypes[0]
		sft := len(c.LossTypes) == 2 && c.LossTypes[1] == "sft"
		if !slices.Contains(referenced[:], cfg.Loss) || len(c.LossTypes) > 1 && !sft || c.Name == "wpo" {
			continue
		}
		seen++
		t.Run(c.Name, func(t *testing.T) {
			if c.LDAlpha != nil {
				cfg.LDAlpha = *c.LDAlpha
			}
			if sft {
				require.Equal(t, 1.0, c.LossWeights[0])
				cfg.RPOAlpha = &c.LossWeights[1]
			}
			var items []Item
			var logprobs [][][]float32
			for i := range c.Pairs {
				k := i + c.Pairs
				w, lw := row(c.Mask[i], c.Logprobs[i], c.Ref[i])
				l, ll := row(c.Mask[k], c.Logprobs[k], c.Ref[k])
				it := Item{Chosen: w, Rejected: l}
				if cfg.LDAlpha != 1 {
					it.share()
					w, l = it.Chosen, it.Rejected
					_, rw := row(c.Mask[i], c.Ref[i], nil)
					_, rl := row(c.Mask[k], c.Ref[k], nil)
					w.ref, l.ref = w.sum(rw), l.sum(rl)
				}
				items, logprobs = append(items, it), append(logprobs, [][]float32{lw, ll})
			}
			o, grad := newObjective(cfg, items), zeros(c.Logprobs)
			for i, it := range items {
				for side, g := range o.add(it, logprobs[i]) {
					r := it.rows()[side]
					for x, at := range r.Targets {
						grad[i+side*c.Pairs][at-1] = float64(g[x])
					}
				}
			}
			near(t, c.Loss, o.tally.Loss, "loss")
			c.nearGrad(t, grad)
			got := o.metrics("")
			for name, want := range c.Metrics {
				if value, ok := got[name]; ok && cfg.LDAlpha == 1 {
					near(t, want, value, name)
				}
			}
		})
	}
	require.Greater(t, seen, 15)
}

// So is that of single answers.
func TestObjectiveOfSingleAnswersIsTRLs(t *testing.T) {
	for _, c := range readGolden(t).KTO {
		t.Run(c.Name, func(t *testing.T) {
			cfg := Default()
			cfg.Terms, cfg.Loss = c.terms(), c.LossType
			var items []Item
			var logprobs [][]float32
			for i, up := range c.Label {
				r, lp := row(c.Mask[i], c.Logprobs[i], c.Ref[i])
				it := Item{Rejected: r}
				if up {
					it = Item{Chosen: r}
				}
				items, logprobs = append(items, it), append(logprobs, lp)
			}
			o, grad := newObjective(cfg, items), zeros(c.Logprobs)
			var ratios []float64
			for i := range c.KL {
				r, _ := sum(c.KLMask[i], c.KL[i], c.KLRef[i])
				ratios = append(ratios, r)
			}
			o.kl = EstimateKL(ratios)
			for i, it := range items {
				for x, g := range o.add(it, logprobs[i:i+1])[0] {
					grad[i][it.rows()[0].Targets[x]-1] = float64(g)
				}
			}
			near(t, c.Loss, o.tally.Loss, "loss")
			c.nearGrad(t, grad)
			got := o.metrics("")
			for name, want := range c.Metrics {
				if value, ok := got[name]; ok {
					near(t, want, value, name)
				}
			}
		})
	}
}

// However a mini-batch's items are added, gradients are differences of the loss.
func TestGradientOfTheObjective(t *testing.T) {
	const h = 1e-2
	answer := func(n int, ref float64) *Row {
		r := &Row{Tokens: make([]int32, n+2), shared: n, ref: sums{Shared: ref}}
		for i := range n {
			r.Targets = append(r.Targets, int32(i+2))
		}
		return r
	}
	items := []Item{
		{Chosen: answer(3, -4), Rejected: answer(5, -7)},
		{Chosen: answer(4, -6), Rejected: answer(2, -3)},
	}
	at := [][][]float32{
		{{-1, -2, -0.5}, {-1.5, -1, -0.25, -3, -0.5}},
		{{-0.5, -1, -2, -1}, {-2, -0.75}},
	}
	for _, name := range Loss("").Values() {
		cfg := Default()
		cfg.Loss = Loss(name)
		if cfg.Loss == EXOPair {
			cfg.LabelSmoothing = 0.1
		}
		rpo := 0.3
		if !cfg.Loss.Unpaired() {
			cfg.RPOAlpha = &rpo
		}
		require.NoError(t, cfg.Validate())
		loss := func() (float64, [][][]float32) {
			o := newObjective(cfg, items)
			o.kl = 0.2
			var g [][][]float32
			for i, it := range items {
				g = append(g, o.add(it, at[i]))
			}
			return o.tally.Loss, g
		}
		_, g := loss()
		for i := range at {
			for side := range at[i] {
				for x := range at[i][side] {
					was := at[i][side][x]
					at[i][side][x] = was + h
					up, _ := loss()
					at[i][side][x] = was - h
					down, _ := loss()
					at[i][side][x] = was
					require.InDelta(t, (up-down)/(2*h), g[i][side][x], 2e-3, "%s %d %d %d", name, i, side, x)
				}
			}
		}
	}
}
