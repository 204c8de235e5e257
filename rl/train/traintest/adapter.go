package traintest

import (
	"fmt"
	"slices"

	"steer/ggml/adapter"
	"steer/ggml/lm"
)

// Adapter turns a state of the toy into the adapter a checkpoint carries.
func (t *Toy) Adapter(s *lm.State) (*adapter.Adapter, error) {
	if len(s.Params) != len(t.params) {
		return nil, fmt.Errorf("traintest: %d parameters, want %d", len(s.Params), len(t.params))
	}
	a := &adapter.Adapter{
		Arch: "llama", Alpha: t.cfg.Alpha,
		Pairs: []adapter.Pair{{
			Name: PairName, NIn: t.cfg.Embd, NOut: t.cfg.Embd, Rank: t.cfg.Rank,
			A: slices.Clone(s.Params[0].Data), B: slices.Clone(s.Params[1].Data),
		}},
	}
	if !t.cfg.NoHead {
		a.Head = &adapter.Head{Weight: slices.Clone(s.Params[2].Data), Bias: s.Params[3].Data[0], HasBias: true}
	}
	return a, nil
}
