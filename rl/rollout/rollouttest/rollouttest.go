// Package rollouttest is a small world for tests of trainers that sample: a toy policy, prompts and a reward.
// It imports rl/rollout and rl/train/traintest; only tests import it.
package rollouttest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// Letter is a reward that likes one letter: its share of the response, times 8.
type Letter struct {
	Letter int32
	Calls  int
	Hook   func(call int) error // runs first; nil does nothing
	Ended  int                  // episodes of the last call that ended
}

// Names implements rollout.Scorer.
func (s *Letter) Names() []string { return []string{"letter"} }

// Score implements rollout.Scorer.
func (s *Letter) Score(_ context.Context, episodes []rollout.Episode) ([][]float64, error) {
	s.Calls++
	if s.Hook != nil {
		if err := s.Hook(s.Calls); err != nil {
			return nil, err
		}
	}
	s.Ended = 0
	out := make([]float64, len(episodes))
	for i, e := range episodes {
		if e.Ended {
			s.Ended++
		}
		for _, id := range e.Response {
			if id == s.Letter {
				out[i] += 8 / float64(len(e.Response))
			}
		}
	}
	return [][]float64{out}, nil
}

// World is a toy policy with everything around it.
type World struct {
	Toy    *traintest.Toy
	Scorer *Letter
	Deps   rollout.Deps
}

// New makes a world that always begins the same.
func New() *World {
	toy := traintest.New(traintest.Config{Vocab: 12, Seed: 3})
	w := &World{Toy: toy, Scorer: &Letter{Letter: 5}}
	var prompts, heldout []rollout.Prompt
	for i := range 10 {
		tokens := []int32{0, int32(2 + i), int32(2 + (3*i)%10)}
		prompts = append(prompts, rollout.Prompt{Tokens: tokens, Text: traintest.Letters{}.Decode(tokens, true)})
	}
	for i := range 20 {
		heldout = append(heldout, rollout.Prompt{Tokens: []int32{0, int32(11 - i%10), int32(2 + i/10)}, Text: "h"})
	}
	w.Deps = rollout.Deps{
		Deps:      train.Deps{Learner: toy, AdapterOf: Adapter},
		Reference: toy.Reference(), Generator: toy, Scorer: w.Scorer, Tokenizer: traintest.Letters{},
		Prompts: prompts, Heldout: heldout,
	}
	return w
}

// In opens a run folder for the world's next training.
func (w *World) In(t *testing.T, dir, stage string, config any) *World {
	t.Helper()
	folder, err := run.Open(dir, run.Options{Stage: stage, Name: "toy", Config: config})
	require.NoError(t, err)
	t.Cleanup(func() { folder.Close() })
	w.Deps.Run = folder
	return w
}

// Adapter is the toy's state as an adapter.
func Adapter(s *lm.State) (*adapter.Adapter, error) {
	byName := map[string]lm.Tensor{}
	for _, p := range s.Params {
		byName[p.Name] = p
	}
	a, b := byName[traintest.PairName+".lora_a"], byName[traintest.PairName+".lora_b"]
	return &adapter.Adapter{
		Arch: adapter.Arch, Alpha: 8,
		Pairs: []adapter.Pair{{
			Name: traintest.PairName, NIn: a.Shape[0], Rank: a.Shape[1], NOut: b.Shape[1], A: a.Data, B: b.Data,
		}},
		Head: &adapter.Head{Weight: byName["head.weight"].Data, Bias: byName["head.bias"].Data[0], HasBias: true},
	}, nil
}

// Timeless are a run's metrics without what a clock says.
func Timeless(t *testing.T, dir string) []run.MetricsRecord {
	t.Helper()
	recs, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	for i := range recs {
		recs[i].Time = time.Time{}
		for name := range recs[i].Values {
			if name == "seconds" || name == "tokens_per_second" || strings.HasPrefix(name, "time/") {
				delete(recs[i].Values, name)
			}
		}
	}
	return recs
}
