package traintest

import (
	"fmt"
	"math"
	"slices"

	"steer/ggml/lm"
)

// Backward implements lm.Learner.
func (t *Toy) Backward(g lm.Gradient) error {
	if t.pending == nil {
		return fmt.Errorf("traintest: %w", lm.ErrNoGradient)
	}
	pass := t.pending
	t.pending = nil
	for s, seq := range pass.batch {
		lp, err := row("Logprobs", g.Logprobs, s, len(seq.Targets))
		if err != nil {
			return err
		}
		ent, err := row("Entropy", g.Entropy, s, len(seq.Targets))
		if err != nil {
			return err
		}
		heads, err := row("Heads", g.Heads, s, len(seq.Heads))
		if err != nil {
			return err
		}
		t.backSequence(seq, pass.opt, lp, ent, heads)
	}
	return nil
}

// row is the gradient of sequence s, zero where absent, [n].
func row(name string, g [][]float32, s, n int) ([]float32, error) {
	if g == nil || s < len(g) && g[s] == nil {
		return make([]float32, n), nil
	}
	if s >= len(g) || len(g[s]) != n {
		return nil, fmt.Errorf("traintest: gradient %s of sequence %d: shape differs from the output", name, s)
	}
	return g[s], nil
}

func (t *Toy) backSequence(seq lm.Sequence, opt lm.Options, lp, ent, heads []float32) {
	d := t.cfg.Embd
	acts := t.hidden(seq, opt)
	dh := make([][]float64, len(acts))
	for pos := range dh {
		dh[pos] = make([]float64, d)
	}
	for k, pos := range seq.Targets {
		p := t.predict(acts[pos-1].h, opt)
		hh := entropy(p)
		for v := range p {
			// d logp_y / d logit_v = 1[v=y] - p_v;  d H / d logit_v = -p_v (log p_v + H)
			dlogit := -float64(lp[k]) * p[v]
			if v == int(seq.Tokens[pos]) {
				dlogit += float64(lp[k])
			}
			if p[v] > 0 {
				dlogit -= float64(ent[k]) * p[v] * (math.Log(p[v]) + hh)
			}
			dlogit /= temperature(opt)
			for i := range d {
				dh[pos-1][i] += dlogit * float64(t.unembd[v*d+i])
			}
		}
	}
	for k, pos := range seq.Heads {
		g := float64(heads[k])
		for i := range d {
			t.grads[2][i] += g * acts[pos].h[i]
			dh[pos][i] += g * float64(t.params[2].Data[i])
		}
		t.grads[3][0] += g
	}
	for pos, act := range acts {
		t.backPosition(act, dh[pos])
	}
}

// backPosition goes back through h = tanh(W x + scale B A x'), dh: [n_embd].
func (t *Toy) backPosition(act activation, dh []float64) {
	d, r := t.cfg.Embd, t.cfg.Rank
	b := t.params[1].Data
	dz := make([]float64, r)
	for o := range d {
		dy := dh[o] * (1 - act.h[o]*act.h[o]) * t.scale()
		for j := range r {
			t.grads[1][o*r+j] += dy * act.z[j]
			dz[j] += dy * float64(b[o*r+j])
		}
	}
	for j := range r {
		for i := range d {
			t.grads[0][j*d+i] += dz[j] * act.dropped[i]
		}
	}
}

// Update implements lm.Learner.
func (t *Toy) Update(u lm.Update) (float64, error) {
	sum := 0.0
	for _, g := range t.grads {
		for _, x := range g {
			sum += x * x
		}
	}
	norm := math.Sqrt(sum)
	clip := 1.0
	if u.MaxGradNorm > 0 {
		clip = min(1, u.MaxGradNorm/(norm+1e-6))
	}
	t.step++
	c1 := 1 - math.Pow(u.Beta1, float64(t.step))
	c2 := 1 - math.Pow(u.Beta2, float64(t.step))
	for k := range t.params {
		p, m, v := t.params[k].Data, t.m[k].Data, t.v[k].Data
		for i := range p {
			g := t.grads[k][i] * clip
			m[i] = float32(u.Beta1*float64(m[i]) + (1-u.Beta1)*g)
			v[i] = float32(u.Beta2*float64(v[i]) + (1-u.Beta2)*g*g)
			x := float64(p[i]) * (1 - u.LR*u.WeightDecay)
			x -= u.LR * (float64(m[i]) / c1) / (math.Sqrt(float64(v[i])/c2) + u.Eps)
			p[i] = float32(x)
		}
	}
	t.clearGrads()
	t.Updates++
	return norm, nil
}

// ZeroGrad implements lm.Learner.
func (t *Toy) ZeroGrad() error {
	t.clearGrads()
	return nil
}

// Grads returns the accumulated gradients, shaped as the parameters.
func (t *Toy) Grads() [][]float64 {
	out := make([][]float64, len(t.grads))
	for k := range out {
		out[k] = slices.Clone(t.grads[k])
	}
	return out
}

// State implements lm.Learner.
func (t *Toy) State() (*lm.State, error) {
	return &lm.State{Step: t.step, Params: clone(t.params), M: clone(t.m), V: clone(t.v)}, nil
}

// SetState implements lm.Learner.
func (t *Toy) SetState(s *lm.State) error {
	for _, part := range [][]lm.Tensor{s.Params, s.M, s.V} {
		if len(part) != len(t.params) {
			return fmt.Errorf("traintest: state has %d tensors, want %d", len(part), len(t.params))
		}
		for k, want := range t.params {
			if part[k].Name != want.Name || !slices.Equal(part[k].Shape, want.Shape) ||
				len(part[k].Data) != len(want.Data) {
				return fmt.Errorf("traintest: state tensor %d is %s %v, want %s %v",
					k, part[k].Name, part[k].Shape, want.Name, want.Shape)
			}
		}
	}
	t.step = s.Step
	t.params, t.m, t.v = clone(s.Params), clone(s.M), clone(s.V)
	t.clearGrads()
	t.pending = nil
	return nil
}

func (t *Toy) clearGrads() {
	t.grads = make([][]float64, len(t.params))
	for k := range t.grads {
		t.grads[k] = make([]float64, len(t.params[k].Data))
	}
}

func zerosLike(ts []lm.Tensor) []lm.Tensor {
	out := clone(ts)
	for k := range out {
		clear(out[k].Data)
	}
	return out
}

func clone(ts []lm.Tensor) []lm.Tensor {
	out := make([]lm.Tensor, len(ts))
	for k, t := range ts {
		out[k] = lm.Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), Data: slices.Clone(t.Data)}
	}
	return out
}
