package ggml

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// BenchmarkStep times what a step is made of at the yardstick's size: 4 sequences of 256
// tokens, LoRA of rank 16 on all linears, AdamW. STEER_PROFILE=1 prints the time by op.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name     string
		keep     bool
		gradient bool
	}{{"checkpoint", false, true}, {"keep", true, true}, {"logprobs", false, false}} {
		b.Run(c.name, func(b *testing.B) {
			m := open(b, testfiles.Model(b))
			host, err := adapter.New(m.Shape(), adapter.Targets(), 16, 32, false, 1)
			require.NoError(b, err)
			a := live(b, m, host, true)
			s := step(b, m, StepOptions{Adapters: []*Adapter{a}, Train: true, KeepActivations: c.keep})
			batch := randomBatch(4, 256, m.Info().Vocab)
			if os.Getenv("STEER_PROFILE") != "" {
				require.NoError(b, m.Profile(true))
				b.Cleanup(func() {
					times, err := m.ProfileTimes()
					require.NoError(b, err)
					var all float64
					for _, t := range times {
						all += t.Seconds
					}
					for _, t := range times {
						fmt.Printf("%-24s %6d  %7.1f ms  %4.1f %%\n", t.Op, t.Count, 1e3*t.Seconds, 100*t.Seconds/all)
					}
				})
			}
			run := func() {
				out := forward(b, s, batch, lm.Options{Gradient: c.gradient})
				if !c.gradient {
					return
				}
				grad := lm.Gradient{Logprobs: out.Logprobs}
				for _, row := range grad.Logprobs {
					for j := range row {
						row[j] = -1.0 / 1020
					}
				}
				require.NoError(b, s.Backward(grad))
				_, err := s.Update(lm.Update{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1})
				require.NoError(b, err)
			}
			run()
			b.ResetTimer()
			for range b.N {
				run()
			}
			b.ReportMetric(float64(b.N*4*256)/b.Elapsed().Seconds(), "tok/s")
			b.ReportMetric(float64(s.ScratchBytes())/1e6, "scratch-MB")
		})
	}
}

// randomBatch is n sequences of random tokens, every target asked for.
func randomBatch(n, tokens, vocab int) []lm.Sequence {
	r := rand.New(rand.NewPCG(1, 2))
	batch := make([]lm.Sequence, n)
	for i := range batch {
		ids := make([]int32, tokens)
		for j := range ids {
			ids[j] = int32(r.IntN(vocab))
		}
		batch[i] = all(ids)
	}
	return batch
}
