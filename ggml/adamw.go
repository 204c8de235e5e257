package ggml

import (
	"fmt"
	"math"
	"slices"

	"steer/cgo"
	"steer/ggml/seam"
)

// ErrNotFinite is wrapped when gradients hold NaN or infinities: the weights were
// left as they are.
var ErrNotFinite = fmt.Errorf("gradient is not finite")

// Update clips the gradients, takes one AdamW step (see seam.Update) and clears them.
func (s *Step) Update(u seam.Update) (float64, error) {
	a := s.trained
	if a == nil {
		return 0, fmt.Errorf("update: the stack is not trained: %w", seam.ErrNoGradient)
	}
	var norm float64
	err := s.m.dev.do(func() error {
		norm = a.native.GradNorm()
		if math.IsNaN(norm) || math.IsInf(norm, 0) {
			a.native.ZeroGrad()
			return fmt.Errorf("update: %w (norm %g): lower the learning rate, or look at the batch of this step", ErrNotFinite, norm)
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
	return norm, err
}

// ZeroGrad drops the accumulated gradients.
func (s *Step) ZeroGrad() error {
	if s.trained == nil {
		return nil
	}
	return s.m.dev.do(func() error { s.trained.native.ZeroGrad(); return nil })
}

// Gradients reads the accumulated gradients, named and shaped as in State.Params.
func (s *Step) Gradients() ([]seam.Tensor, error) { return s.read(cgo.Grads) }

// State copies parameters and moments out; see seam.Learner.
func (s *Step) State() (*seam.State, error) {
	st := &seam.State{}
	if s.trained != nil {
		st.Step = s.trained.step
	}
	for i, into := range []*[]seam.Tensor{&st.Params, &st.M, &st.V} {
		t, err := s.read(cgoBuffers[i])
		if err != nil {
			return nil, err
		}
		*into = t
	}
	return st, nil
}

func (s *Step) read(what cgo.Buffer) ([]seam.Tensor, error) {
	a := s.trained
	if a == nil {
		return nil, fmt.Errorf("state: the stack is not trained")
	}
	flat := make([]float32, a.native.Count())
	if err := s.m.dev.do(func() error { a.native.Read(what, flat); return nil }); err != nil {
		return nil, err
	}
	tensors := a.host.Params() // names and shapes; the data is replaced
	for i := range tensors {
		n := len(tensors[i].Data)
		tensors[i].Data, flat = flat[:n:n], flat[n:]
	}
	return tensors, nil
}

// SetState puts parameters and moments back; see seam.Learner.
func (s *Step) SetState(st *seam.State) error {
	a := s.trained
	if a == nil {
		return fmt.Errorf("state: the stack is not trained")
	}
	want := a.host.Params()
	for i, tensors := range [][]seam.Tensor{st.Params, st.M, st.V} {
		flat := make([]float32, 0, a.native.Count())
		if len(tensors) != len(want) {
			return fmt.Errorf("state: %d tensors, this adapter has %d: the checkpoint is of another adapter", len(tensors), len(want))
		}
		for j, t := range tensors {
			if t.Name != want[j].Name || !slices.Equal(t.Shape, want[j].Shape) || len(t.Data) != len(want[j].Data) {
				return fmt.Errorf("state: tensor %d is %s %v, this adapter has %s %v: the checkpoint is of another adapter", j, t.Name, t.Shape, want[j].Name, want[j].Shape)
			}
			flat = append(flat, t.Data...)
		}
		for int64(len(flat)) < a.native.Count() {
			flat = append(flat, 0) // the bias of a head without one
		}
		if err := s.m.dev.do(func() error { a.native.Write(cgoBuffers[i], flat); return nil }); err != nil {
			return err
		}
	}
	a.step = st.Step
	return s.ZeroGrad()
}
