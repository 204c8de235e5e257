package workspace

import (
	"errors"

	"steer/ggml"
	"steer/ggml/lm"
)

// errNotTrained is the answer to a trainer's question by a stack that learns nothing.
var errNotTrained = errors.New("this model can be used, not trained")

// decoder is what libllama computes of a model that cannot be trained: a Learner that learns nothing.
type decoder struct{ *ggml.Decoder }

var _ lm.Learner = decoder{}

// Backward implements lm.Learner.
func (decoder) Backward(lm.Gradient) error { return errNotTrained }

// Update implements lm.Learner.
func (decoder) Update(lm.Update) (float64, error) { return 0, errNotTrained }

// ZeroGrad implements lm.Learner.
func (decoder) ZeroGrad() error { return errNotTrained }

// State implements lm.Learner.
func (decoder) State() (*lm.State, error) { return nil, errNotTrained }

// SetState implements lm.Learner.
func (decoder) SetState(*lm.State) error { return errNotTrained }
