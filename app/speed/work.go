package speed

import (
	"steer/ggml"
	"steer/ggml/adapter"
)

// Formula says how GFLOP/s are counted; it is printed below every table.
const Formula = "GFLOP/s: 2 FLOP a weight and token for each of forward, dX and (with\n" +
	"checkpointing, all layers but the last) recompute; for the output matrix,\n" +
	"a target: 2 forward, 2 dX.\n" +
	"LoRA products, attention and the optimizer are not counted.\n"

// weights are the counts the formula multiplies.
type weights struct {
	linear float64 // of all frozen linear layers
	layer  float64 // of those of one layer
	head   float64 // of the output matrix
}

// countWeights counts the weights of a model.
func countWeights(m *ggml.Model) (weights, error) {
	if m.Untrainable() != nil { // its matrices are not known
		return weights{}, nil
	}
	return weightsOf(m.Shape(), m.Info().Vocab)
}

func weightsOf(s adapter.Shape, vocab int) (weights, error) {
	var w weights
	for _, target := range s.Targets() {
		nIn, nOut, err := s.Dims(target)
		if err != nil {
			return w, err
		}
		w.layer += float64(nIn) * float64(nOut)
	}
	w.linear = float64(s.Layers) * w.layer
	w.head = float64(s.Embd) * float64(vocab)
	return w, nil
}

// forward is the arithmetic of a forward pass over tokens, targets of which have their
// log-probability computed.
func (w weights) forward(tokens, targets int) float64 {
	return 2*w.linear*float64(tokens) + 2*w.head*float64(targets)
}

// train is that of a forward and backward pass. Gradients of frozen weights are not
// computed, so the backward pass is dX alone: as much as the forward pass.
func (w weights) train(tokens, targets int, recompute bool) float64 {
	flop := 2 * w.forward(tokens, targets)
	if recompute {
		flop += 2 * (w.linear - w.layer) * float64(tokens) // the last layer's activations are still there
	}
	return flop
}
