package adapter

import (
	"fmt"
	"slices"

	"steer/ggml/lm"
)

// Names of the head's parameters in a lm.State.
const (
	headWeight = "head.weight"
	headBias   = "head.bias"
)

// Params returns the trained values as a lm.Learner's State names and orders them:
// for each pair "<weight>.lora_a" [n_in, rank] and "<weight>.lora_b" [rank, n_out],
// then "head.weight" [n_embd] and "head.bias" [1]. Data is shared with a, except
// the bias, which is a copy.
func (a *Adapter) Params() []lm.Tensor {
	var out []lm.Tensor
	for _, p := range a.Pairs {
		out = append(out,
			lm.Tensor{Name: p.Name + suffixA, Shape: []int{p.NIn, p.Rank}, Data: p.A},
			lm.Tensor{Name: p.Name + suffixB, Shape: []int{p.Rank, p.NOut}, Data: p.B})
	}
	if h := a.Head; h != nil {
		out = append(out, lm.Tensor{Name: headWeight, Shape: []int{len(h.Weight)}, Data: h.Weight})
		if h.HasBias {
			out = append(out, lm.Tensor{Name: headBias, Shape: []int{1}, Data: []float32{h.Bias}})
		}
	}
	return out
}

// SetParams copies trained values (a lm.State's Params) into a. Names, order and
// shapes must be those of Params; on error a is unchanged.
func (a *Adapter) SetParams(params []lm.Tensor) error {
	own := a.Params()
	if len(params) != len(own) {
		return fmt.Errorf("adapter: %d parameters, want %d: %w", len(params), len(own), ErrMismatch)
	}
	for i, want := range own {
		got := params[i]
		if got.Name != want.Name || !slices.Equal(got.Shape, want.Shape) || len(got.Data) != len(want.Data) {
			return fmt.Errorf("adapter: parameter %d is %s %v with %d values, want %s %v with %d: %w",
				i, got.Name, got.Shape, len(got.Data), want.Name, want.Shape, len(want.Data), ErrMismatch)
		}
	}
	for i, want := range own {
		if want.Name == headBias {
			a.Head.Bias = params[i].Data[0]
			continue
		}
		copy(want.Data, params[i].Data)
	}
	return nil
}
