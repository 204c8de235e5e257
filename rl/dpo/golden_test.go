package dpo

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// goldenCase is one of testdata/golden/preference: rows of chosen answers, then of rejected ones.
type goldenCase struct {
	Name        string
	LossTypes   []Loss     `json:"loss_types"`
	LossWeights []float64  `json:"loss_weights"`
	LossType    Loss       `json:"loss_type"`
	Beta        float64    `json:"beta"`
	Smoothing   float64    `json:"label_smoothing"`
	Divergence  Divergence `json:"f_divergence"`
	AlphaCoef   float64    `json:"f_alpha_divergence_coef"`
	Tau         float64    `json:"discopop_tau"`
	LDAlpha     *float64   `json:"ld_alpha"`
	Desirable   float64    `json:"desirable_weight"`
	Undesirable float64    `json:"undesirable_weight"`
	Gamma       float64    `json:"simpo_gamma"`
	AlphaPO     float64    `json:"alpha"`
	CPOAlpha    float64    `json:"cpo_alpha"`
	Pairs       int
	Label       []bool
	Mask        [][]float64
	Attention   [][]float64
	Completion  [][]float64
	Logprobs    [][]float64
	Ref         [][]float64 `json:"ref_logprobs"`
	KLMask      [][]float64 `json:"kl_mask"`
	KL          [][]float64 `json:"kl_logprobs"`
	KLRef       [][]float64 `json:"kl_ref_logprobs"`
	Loss        float64
	PerPair     []float64   `json:"loss_per_pair"`
	PerExample  []float64   `json:"loss_per_example"`
	Grad        [][]float64 `json:"grad_logprobs"`
	Metrics     map[string]float64
}

func (c goldenCase) terms() Terms {
	return Terms{Beta: c.Beta, LabelSmoothing: c.Smoothing, Divergence: c.Divergence, AlphaCoef: c.AlphaCoef,
		DiscopopTau: c.Tau, DesirableWeight: c.Desirable, UndesirableWeight: c.Undesirable, SimPOGamma: c.Gamma,
		AlphaPO: c.AlphaPO}
}

// sum is Σ mask (a - b), and how much the mask holds.
func sum(mask, a, b []float64) (s, n float64) {
	for i, m := range mask {
		d := a[i]
		if b != nil {
			d -= b[i]
		}
		s, n = s+m*d, n+m
	}
	return s, n
}

// near is the README's tolerance: 1e-5, relative where the number is beyond 1.
func near(t *testing.T, want, got float64, what string) {
	t.Helper()
	require.InDelta(t, want, got, 1e-5*math.Max(1, math.Abs(want)), what)
}

func (c goldenCase) nearGrad(t *testing.T, got [][]float64) {
	t.Helper()
	for r := range c.Grad {
		for i := range c.Grad[r] {
			near(t, c.Grad[r][i], got[r][i], c.Name)
		}
	}
}

func zeros(like [][]float64) [][]float64 {
	out := make([][]float64, len(like))
	for i := range like {
		out[i] = make([]float64, len(like[i]))
	}
	return out
}

type golden struct{ DPO, KTO, ORPO, CPO []goldenCase }

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	testfiles.ReadGolden(t, "preference/preference.json.gz", &g)
	require.Len(t, g.DPO, 26)
	return g
}

// trl's DPOTrainer._compute_loss, but for the losses that couple the pairs of a batch (aot) or need what
// the engine does not give (wpo).
func TestPairLossIsTRLs(t *testing.T) {
	left := []string{"aot", "aot_unpaired", "aot_no_smoothing", "wpo"}
	for _, c := range readGolden(t).DPO {
		t.Run(c.Name, func(t *testing.T) {
			for _, name := range left {
				if c.Name == name {
					return
				}
			}
			terms, n := c.terms(), float64(c.Pairs)
			total, grad := 0.0, zeros(c.Logprobs)
			for i := range c.Pairs {
				k := i + c.Pairs
				weights := c.Mask
				if c.LDAlpha != nil {
					weights = lengthDesensitized(c.Mask, i, k, *c.LDAlpha)
				}
				var m Margins
				m.W, m.NW = sum(weights[i], c.Logprobs[i], c.Ref[i])
				m.L, m.NL = sum(weights[k], c.Logprobs[k], c.Ref[k])
				var own float64
				for j, loss := range c.LossTypes {
					weight := c.LossWeights[j]
					if loss == "sft" {
						continue
					}
					value, dW, dL := terms.PairLoss(loss, m)
					own += weight * value
					for x := range grad[i] {
						grad[i][x] += weight * dW * weights[i][x] / n
						grad[k][x] += weight * dL * weights[k][x] / n
					}
				}
				if c.PerPair != nil {
					near(t, c.PerPair[i], own, "loss of a pair")
				}
				total += own / n
			}
			for j, loss := range c.LossTypes {
				if loss != "sft" {
					continue
				}
				var s, tokens float64
				for i := range c.Pairs {
					a, b := sum(c.Mask[i], c.Logprobs[i], nil)
					s, tokens = s+a, tokens+b
				}
				total -= c.LossWeights[j] * s / tokens
				for i := range c.Pairs {
					for x, m := range c.Mask[i] {
						grad[i][x] -= c.LossWeights[j] * m / tokens
					}
				}
			}
			near(t, c.Loss, total, "loss")
			c.nearGrad(t, grad)
		})
	}
}

// trl's KTOTrainer._compute_loss.
func TestExampleLossIsTRLs(t *testing.T) {
	for _, c := range readGolden(t).KTO {
		t.Run(c.Name, func(t *testing.T) {
			terms, n := c.terms(), float64(len(c.Label))
			var ratios []float64
			for i := range c.KL {
				r, _ := sum(c.KLMask[i], c.KL[i], c.KLRef[i])
				ratios = append(ratios, r)
			}
			kl := EstimateKL(ratios)
			if want, ok := c.Metrics["kl"]; ok {
				near(t, want, kl, "kl")
			}
			total, grad := 0.0, zeros(c.Logprobs)
			for i, up := range c.Label {
				ratio, _ := sum(c.Mask[i], c.Logprobs[i], c.Ref[i])
				value, d := terms.ExampleLoss(c.LossType, up, ratio, kl)
				near(t, c.PerExample[i], value, "loss of an example")
				total += value / n
				for x, m := range c.Mask[i] {
					grad[i][x] = d * m / n
				}
			}
			near(t, c.Loss, total, "loss")
			c.nearGrad(t, grad)
		})
	}
}

// trl's ORPOTrainer and CPOTrainer.
func TestFreeLossIsTRLs(t *testing.T) {
	g := readGolden(t)
	for _, c := range append(g.ORPO, g.CPO...) {
		t.Run(c.Name, func(t *testing.T) {
			loss, nll, over := ORPO, 1.0, c.Attention
			switch {
			case c.LossType == "simpo":
				loss, nll, over = SimPO, c.CPOAlpha, c.Completion
			case c.LossType == "sigmoid":
				loss, nll, over = CPO, c.CPOAlpha, c.Completion
			case strings.HasPrefix(c.Name, "cpo"):
				return // with hinge and ipo it is not one of ours
			}
			terms, n := c.terms(), float64(c.Pairs)
			total, grad := 0.0, zeros(c.Logprobs)
			var s, tokens float64
			for i := range c.Pairs {
				a, b := sum(over[i], c.Logprobs[i], nil)
				s, tokens = s+a, tokens+b
			}
			total -= nll * s / tokens
			for i := range c.Pairs {
				k := i + c.Pairs
				var m Sums
				m.W, m.NW = sum(c.Completion[i], c.Logprobs[i], nil)
				m.L, m.NL = sum(c.Completion[k], c.Logprobs[k], nil)
				value, dW, dL := terms.FreeLoss(loss, m)
				total += value / n
				for x := range grad[i] {
					grad[i][x] = dW*c.Completion[i][x]/n - nll*over[i][x]/tokens
					grad[k][x] = dL * c.Completion[k][x] / n
				}
			}
			near(t, c.Loss, total, "loss")
			c.nearGrad(t, grad)
		})
	}
}

// Derivatives are differences.
func TestDerivatives(t *testing.T) {
	terms := Terms{Beta: 0.3, LabelSmoothing: 0.1, Divergence: JS, DiscopopTau: 0.5, DesirableWeight: 1.2,
		UndesirableWeight: 0.7, SimPOGamma: 0.4, AlphaPO: 0.25}
	const h = 1e-5
	for _, loss := range referenced {
		m := Margins{W: 0.7, L: -0.4, NW: 5, NL: 3}
		_, dW, dL := terms.PairLoss(loss, m)
		at := func(w, l float64) float64 {
			v, _, _ := terms.PairLoss(loss, Margins{W: w, L: l, NW: 5, NL: 3})
			return v
		}
		require.InDelta(t, (at(m.W+h, m.L)-at(m.W-h, m.L))/(2*h), dW, 1e-8, loss)
		require.InDelta(t, (at(m.W, m.L+h)-at(m.W, m.L-h))/(2*h), dL, 1e-8, loss)
	}
	for _, loss := range []Loss{ORPO, SimPO, CPO} {
		m := Sums{W: -7, L: -4, NW: 5, NL: 3}
		_, dW, dL := terms.FreeLoss(loss, m)
		at := func(w, l float64) float64 {
			v, _, _ := terms.FreeLoss(loss, Sums{W: w, L: l, NW: 5, NL: 3})
			return v
		}
		require.InDelta(t, (at(m.W+h, m.L)-at(m.W-h, m.L))/(2*h), dW, 1e-8, loss)
		require.InDelta(t, (at(m.W, m.L+h)-at(m.W, m.L-h))/(2*h), dL, 1e-8, loss)
	}
}

// lengthDesensitized are the weights of the tokens of rows i and k, chosen and rejected, in their sequences'
// log-probabilities: tokens beyond the shorter answer count alpha times (LD-DPO, Liu et al. 2024,
// arXiv:2409.06411). mask is 1 at the tokens of answers; other rows are nil.
func lengthDesensitized(mask [][]float64, i, k int, alpha float64) [][]float64 {
	out := make([][]float64, len(mask))
	count := func(row []float64) (n int) {
		for _, m := range row {
			if m != 0 {
				n++
			}
		}
		return n
	}
	shorter := min(count(mask[i]), count(mask[k]))
	for _, r := range []int{i, k} {
		out[r] = make([]float64, len(mask[r]))
		seen := 0
		for x, m := range mask[r] {
			if m == 0 {
				continue
			}
			if out[r][x] = 1; seen >= shorter {
				out[r][x] = alpha
			}
			seen++
		}
	}
	return out
}
