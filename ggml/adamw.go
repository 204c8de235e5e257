package ggml

import (
	"fmt"
	"math"
	"slices"

	"steer/cgo"
	"steer/ggml/lm"
)

// ErrNotFinite is wrapped when gradients hold NaN or infinities: the weights were
// left as they are.
var ErrNotFinite = fmt.Errorf("gradient is not finite")

// Update clips the gradients, takes one AdamW step (see lm.Update) and clears them.
func (s *Step) Update(u lm.Update) (float64, error) {
	if err := checkUpdate(u); err != nil {
		return 0, fmt.Errorf("update: %w", err)
	}
	var norm float64
	err := s.training(func(a *Adapter) error {
		norm = a.native.GradNorm()
		if math.IsNaN(norm) || math.IsInf(norm, 0) {
			a.native.ZeroGrad()
			return fmt.Errorf("%w (norm %g): lower the learning rate, or look at the batch of this step", ErrNotFinite,
				norm)
		}
		scale := 1.0
		if u.MaxGradNorm > 0 {
			scale = min(1, u.MaxGradNorm/(norm+1e-6))
		}
		a.step++
		a.native.AdamW(float32(scale), u.LR, u.Beta1, u.Beta2, u.Eps, u.WeightDecay, a.step)
		a.native.ZeroGrad()
		return nil
	})
	if err != nil {
		return norm, fmt.Errorf("update: %w", err)
	}
	return norm, nil
}

// checkUpdate refuses what would turn parameters into NaN for good.
func checkUpdate(u lm.Update) error {
	for _, v := range []struct {
		name     string
		value    float64
		ok       bool
		expected string
	}{
		{"learning rate", u.LR, u.LR >= 0, "0 or more"},
		{"beta1", u.Beta1, u.Beta1 >= 0 && u.Beta1 < 1, "0 or more and less than 1"},
		{"beta2", u.Beta2, u.Beta2 >= 0 && u.Beta2 < 1, "0 or more and less than 1"},
		{"eps", u.Eps, u.Eps > 0, "more than 0"},
		{"weight decay", u.WeightDecay, u.WeightDecay >= 0, "0 or more"},
		{"max gradient norm", u.MaxGradNorm, u.MaxGradNorm >= 0, "0 (no clipping) or more"},
	} {
		if !v.ok || math.IsInf(v.value, 0) {
			return fmt.Errorf("%s is %g: want %s", v.name, v.value, v.expected)
		}
	}
	return nil
}

// training runs f on the engine thread with the trained adapter.
func (s *Step) training(f func(*Adapter) error) error {
	return s.do(func() error {
		if s.trained == nil {
			return fmt.Errorf("the stack is not trained: %w", lm.ErrNoGradient)
		}
		if s.trained.planned {
			return errPlanned
		}
		return f(s.trained)
	})
}

// ZeroGrad drops the accumulated gradients.
func (s *Step) ZeroGrad() error {
	return s.do(func() error {
		if s.trained != nil && !s.trained.planned {
			s.trained.native.ZeroGrad()
		}
		return nil
	})
}

// Gradients reads the accumulated gradients, named and shaped as in State.Params.
func (s *Step) Gradients() (grads []lm.Tensor, err error) {
	err = s.training(func(a *Adapter) error { grads = a.tensors(cgo.Grads); return nil })
	if err != nil {
		return nil, fmt.Errorf("gradients: %w", err)
	}
	return grads, nil
}

// State copies parameters and moments out; see lm.Learner.
func (s *Step) State() (*lm.State, error) {
	st := &lm.State{}
	err := s.training(func(a *Adapter) error {
		st.Step = a.step
		st.Params, st.M, st.V = a.tensors(cgo.Params), a.tensors(cgo.Moment1), a.tensors(cgo.Moment2)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return st, nil
}

// tensors reads a flat buffer as named tensors. It runs on the engine thread.
func (l *Adapter) tensors(what cgo.Buffer) []lm.Tensor {
	flat := make([]float32, l.native.Count())
	l.native.Read(what, flat)
	tensors := l.host.Params() // names and shapes; the data is replaced
	for i := range tensors {
		n := len(tensors[i].Data)
		tensors[i].Data, flat = flat[:n:n], flat[n:]
	}
	return tensors
}

// SetState puts parameters and moments back; see lm.Learner. A state that does not
// fit changes nothing.
func (s *Step) SetState(st *lm.State) error {
	err := s.training(func(a *Adapter) error {
		var flat [3][]float32
		for i, tensors := range [][]lm.Tensor{st.Params, st.M, st.V} {
			var err error
			if flat[i], err = a.flattenState(tensors); err != nil {
				return err
			}
		}
		for i, what := range []cgo.Buffer{cgo.Params, cgo.Moment1, cgo.Moment2} {
			a.native.Write(what, flat[i])
		}
		a.step = st.Step
		a.native.ZeroGrad()
		return nil
	})
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// flattenState lays named tensors out as the native buffers do, if they are this adapter's.
func (l *Adapter) flattenState(tensors []lm.Tensor) ([]float32, error) {
	want := l.host.Params()
	if len(tensors) != len(want) {
		return nil, fmt.Errorf("%d tensors, this adapter has %d: the checkpoint is of another adapter", len(tensors),
			len(want))
	}
	flat := make([]float32, 0, l.native.Count())
	for j, t := range tensors {
		if t.Name != want[j].Name || !slices.Equal(t.Shape, want[j].Shape) || len(t.Data) != len(want[j].Data) {
			return nil, fmt.Errorf("tensor %d is %s %v with %d values, this adapter has %s %v: the checkpoint is of "+
				"another adapter",
				j, t.Name, t.Shape, len(t.Data), want[j].Name, want[j].Shape)
		}
		flat = append(flat, t.Data...)
	}
	for int64(len(flat)) < l.native.Count() {
		flat = append(flat, 0) // the bias of a head without one
	}
	return flat, nil
}
