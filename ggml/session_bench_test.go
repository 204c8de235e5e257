package ggml

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// benchPrompt and benchNew are the tokens of a prompt and of an answer in
// BenchmarkSession.
const benchPrompt, benchNew = 64, 128

// BenchmarkSession measures rollouts of the real model (STEER_MODEL) at temperature 1: reading in prompt tokens
// a second, decoding in new tokens a second including sampling, by our kernels and by libllama's own, without
// adapters and with a LoRA of rank 16 on all seven linear layers. The prompts differ from the first token on:
// none is read for another.
func BenchmarkSession(b *testing.B) {
	m := open(b, testfiles.Model(b))
	a, err := adapter.New(m.Shape(), adapter.Targets(), 16, 32, false, 1)
	require.NoError(b, err)
	rng := random(1)
	for i := range a.Pairs {
		for j := range a.Pairs[i].B {
			a.Pairs[i].B[j] = float32(0.01 * rng.NormFloat64())
		}
	}
	lora := live(b, m, a, false)
	for _, stack := range [][]*Adapter{nil, {lora}} {
		for _, n := range []int{1, 8, 32, 64} {
			for _, kernels := range []string{"steer", "libllama"} {
				name := fmt.Sprintf("lora=%v/seq=%d/kernels=%s", len(stack) > 0, n, kernels)
				b.Run(name, func(b *testing.B) {
					s, err := m.NewSession(SessionOptions{Sequences: n, Context: 256, Adapters: stack,
						plain: kernels == "libllama"})
					require.NoError(b, err)
					defer func() { require.NoError(b, s.Close()) }()
					benchGenerate(b, s, n)
				})
			}
		}
	}
}

// benchGenerate answers n prompts at once, to the first token, which comes with the
// prompt, and to the last.
func benchGenerate(b *testing.B, s *Session, n int) {
	reqs := make([]lm.Request, n)
	for i := range reqs {
		reqs[i].Seed = uint64(i)
		for p := range benchPrompt {
			reqs[i].Prompt = append(reqs[i].Prompt, int32(1000+37*i+p))
		}
	}
	run := func(maxNew int) float64 {
		for i := range reqs {
			reqs[i].MaxNew = maxNew
		}
		start := b.Elapsed()
		_, err := s.Generate(context.Background(), reqs, lm.Sampling{Temperature: 1})
		require.NoError(b, err)
		return (b.Elapsed() - start).Seconds()
	}
	var read, all float64
	for b.Loop() {
		read += run(1)
		all += run(benchNew)
	}
	b.ReportMetric(float64(b.N*n*(benchNew-1))/(all-read), "new-tok/s")
	b.ReportMetric(float64(b.N*n*benchPrompt)/read, "prompt-tok/s")
	b.ReportMetric(0, "ns/op")
}
