package ggml

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// planShape has layers enough for checkpointing to matter.
var planShape = gguftest.Shape{Layers: 6, Embd: 48, FF: 96, Heads: 6, KVHeads: 3, Vocab: 211, Ctx: 640}

// What the allocator says beforehand is what it takes, and planned adapters give the
// same answer as those with memory.
func TestPlanIsWhatIsAllocated(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for _, c := range []struct {
			name    string
			lengths []int
			heads   bool
			opt     lm.Options
		}{
			{"scoring", []int{31, 7, 90}, false, lm.Options{Greedy: true}},
			{"training", []int{31, 7, 90}, false, lm.Options{Gradient: true}},
			{"with heads and entropy", []int{64, 64}, true, lm.Options{Gradient: true, Entropy: true}},
			{"one token", []int{1}, true, lm.Options{Gradient: true}},
			{"dropout", []int{40, 50}, false, lm.Options{Gradient: true, Dropout: true}},
			{"a long sequence", []int{600}, false, lm.Options{Gradient: true}},
		} {
			t.Run(fmt.Sprintf("%s, keep activations %v", c.name, keep), func(t *testing.T) {
				m := openTiny(t, tiny(t, planShape, gguftest.Options{}))
				host := randomAdapter(t, m, adapter.Targets(), 3, true)
				opt := StepOptions{Train: true, KeepActivations: keep, Dropout: 0.1}
				batch := raggedBatch(5, planShape.Vocab, c.heads, c.lengths...)

				shadow, err := m.PlanAdapter(host, true)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, shadow.Close()) })
				opt.Adapters = []*Adapter{shadow}
				planned, err := m.Plan(Pass{Step: step(t, m, opt), Batch: batch, Options: c.opt})
				require.NoError(t, err)

				opt.Adapters = []*Adapter{live(t, m, host, true)}
				s := step(t, m, opt)
				again, err := m.Plan(Pass{Step: s, Batch: batch, Options: c.opt})
				require.NoError(t, err)
				require.Equal(t, planned.Activations, again.Activations, "with memory and without")

				before := s.ScratchBytes()
				require.Zero(t, before, "asking allocates nothing")
				forward(t, s, batch, c.opt)
				require.Equal(t, s.ScratchBytes(), planned.Activations)
				t.Logf("%d bytes, tables %d, work %d", planned.Activations, planned.Tables, planned.Work)
			})
		}
	}
}

func TestPlanOfFullKL(t *testing.T) {
	m := openTiny(t, tiny(t, planShape, gguftest.Options{}))
	policy := step(t, m,
		StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), false)}})
	reference := step(t, m, StepOptions{})
	batch := raggedBatch(5, planShape.Vocab, false, 50, 70)
	planned, err := m.Plan(Pass{Step: policy, Reference: reference, Batch: batch})
	require.NoError(t, err)
	_, err = policy.FullKL(context.Background(), reference, batch, lm.Options{})
	require.NoError(t, err)
	require.Equal(t, policy.ScratchBytes(), planned.Activations)
}

// An adapter without memory refuses every use that would read it.
func TestPlannedAdaptersDoNotCompute(t *testing.T) {
	m := openTiny(t, tiny(t, planShape, gguftest.Options{}))
	a, err := m.PlanAdapter(randomAdapter(t, m, adapter.Targets(), 3, true), true)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	s := step(t, m, StepOptions{Adapters: []*Adapter{a}, Train: true})
	_, err = s.Forward(context.Background(), raggedBatch(1, planShape.Vocab, false, 9), lm.Options{})
	require.ErrorIs(t, err, errPlanned)
	_, err = s.Update(lm.Update{LR: 1, Eps: 1})
	require.ErrorIs(t, err, errPlanned)
	_, err = s.State()
	require.ErrorIs(t, err, errPlanned)
	_, err = s.Gradients()
	require.ErrorIs(t, err, errPlanned)
	require.NoError(t, s.ZeroGrad())
	_, err = a.Host()
	require.ErrorIs(t, err, errPlanned)
	_, err = m.NewSession(SessionOptions{Adapters: []*Adapter{a}})
	require.ErrorIs(t, err, errPlanned)
	_, err = s.FullKL(context.Background(), s, raggedBatch(1, planShape.Vocab, false, 9), lm.Options{})
	require.ErrorIs(t, err, errPlanned)
	_, err = m.Plan(Pass{Step: s, Batch: nil})
	require.ErrorContains(t, err, "empty")
}

// After the largest batch was reserved, no step obtains native memory: 20 steps of
// ragged shapes, evaluations of another stack between them.
func TestStepsAllocateNothingAfterReserve(t *testing.T) {
	for _, keep := range []bool{false, true} {
		m := openTiny(t, tiny(t, planShape, gguftest.Options{F16: true}))
		s := step(t, m,
			StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, true), true)},
				Train: true, KeepActivations: keep, Dropout: 0.1})
		base := step(t, m, StepOptions{})
		train := lm.Options{Gradient: true, Dropout: true, Entropy: true, EntropyGradient: true}
		lengths := func(seed uint64, tokens int) (out []int) {
			rng := random(seed)
			for tokens > 0 {
				n := min(1+rng.IntN(200), tokens)
				out = append(out, n)
				tokens -= n
			}
			return out
		}
		everything := func(ns ...int) (batch []lm.Sequence) {
			for _, q := range raggedBatch(9, planShape.Vocab, false, ns...) {
				q = all(q.Tokens)
				for i := range q.Tokens {
					q.Heads = append(q.Heads, int32(i))
				}
				batch = append(batch, q)
			}
			return batch
		}
		most := everything(append(lengths(1, 312), 200)...)
		noHeads := everything(append(lengths(1, 312), 200)...)
		for i := range noHeads {
			noHeads[i].Heads = nil
		}
		require.NoError(t, m.Reserve(context.Background(), []Pass{
			{Step: s, Batch: most, Options: train}, {Step: base, Batch: noHeads, Options: lm.Options{Greedy: true}},
		}))
		before, bytes := Allocations(), s.ScratchBytes()
		for i := range uint64(20) {
			batch := raggedBatch(i, planShape.Vocab, true, lengths(i+100, 20+int(i)*25)...)
			forward(t, s, batch, train)
			require.NoError(t, s.Backward(randomGradient(i, batch, true)))
			_, err := s.Update(lm.Update{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})
			require.NoError(t, err)
			if i%3 == 0 {
				forward(t, base, raggedBatch(i, planShape.Vocab, false, lengths(i, 300)...), lm.Options{Greedy: true})
			}
		}
		require.Equal(t, before, Allocations(), "allocations after the reserve")
		require.Equal(t, bytes, s.ScratchBytes())

		// What is larger than anything reserved does obtain memory: the counter counts.
		forward(t, s, everything(600, 600), train)
		require.Greater(t, Allocations(), before)
	}
}

// Reserving leaves no trace in what is learned.
func TestReserveChangesNoResult(t *testing.T) {
	results := map[bool][]lm.Tensor{}
	for _, reserve := range []bool{false, true} {
		m := openTiny(t, tiny(t, planShape, gguftest.Options{}))
		s := step(t, m,
			StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, true), true)},
				Train: true})
		batch := raggedBatch(5, planShape.Vocab, true, 31, 7, 90)
		if reserve {
			require.NoError(t,
				m.Reserve(context.Background(), []Pass{{Step: s, Batch: batch, Options: lm.Options{Gradient: true}}}))
		}
		_, results[reserve] = gradients(t, s, batch, randomGradient(2, batch, false), lm.Options{})
	}
	require.Equal(t, results[false], results[true])
}

// The kernels' own memory, found on one layer, is what the whole passes hold; found on
// short sequences, it is near.
func TestPlanScratch(t *testing.T) {
	// attention's share is large
	wide := gguftest.Shape{Layers: 2, Embd: 256, FF: 64, Heads: 2, KVHeads: 2, Vocab: 211, Ctx: 1300}
	for _, c := range []struct {
		shape         gguftest.Shape
		longest, most int
		tolerance     float64
	}{{planShape, 600, 600, 0.01}, {wide, 1300, 650, 0.1}} {
		m := openThreads(t, tiny(t, c.shape, gguftest.Options{F16: true}), 2)
		host := randomAdapter(t, m, adapter.Targets(), 3, true)
		shadow, err := m.PlanAdapter(host, true)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, shadow.Close()) })
		s := step(t, m, StepOptions{Adapters: []*Adapter{shadow}, Train: true})
		batch := raggedBatch(5, planShape.Vocab, true, c.longest, 90)
		opt := lm.Options{Gradient: true}
		before := cgo.ScratchBytes()
		planned, err := m.planScratch([]Pass{{Step: s, Batch: batch, Options: opt}}, c.most)
		require.NoError(t, err)

		real := step(t, m, StepOptions{Adapters: []*Adapter{live(t, m, host, true)}, Train: true})
		forward(t, real, batch, opt)
		require.NoError(t, real.Backward(randomGradient(1, batch, false)))
		require.InEpsilon(t, cgo.ScratchBytes()-before, planned, c.tolerance)
	}
}

// Keys and values are 2 f16 vectors a layer and token, 256 tokens at least a sequence.
func TestPlanSession(t *testing.T) {
	m := openTiny(t, tiny(t, planShape, gguftest.Options{}))
	a := live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), false)
	perToken := int64(planShape.Layers * 2 * planShape.Embd / planShape.Heads * planShape.KVHeads * 2)
	for _, c := range []struct{ sequences, context, padded int }{{1, 10, 256}, {4, 256, 256}, {32, 300, 512}} {
		before := Alive()
		use, err := m.PlanSession(SessionOptions{Adapters: []*Adapter{a}, Sequences: c.sequences, Context: c.context},
			100, c.sequences)
		require.NoError(t, err)
		require.Equal(t, before, Alive())
		require.Equal(t, perToken*int64(c.padded*c.sequences), use.KV)
		require.Equal(t, int64(4*planShape.Vocab*c.sequences), use.Logits)
		require.Greater(t, use.Compute, int64(0))
		require.GreaterOrEqual(t, use.Reserved, use.Compute)
		t.Logf("%+v", use)
	}
	_, err := m.PlanSession(SessionOptions{Context: planShape.Ctx + 1}, 1, 1)
	require.ErrorIs(t, err, lm.ErrContextFull)

	// The model is as it was: a real session opens and decodes after a planned one.
	s, err := m.NewSession(SessionOptions{Adapters: []*Adapter{a}, Sequences: 2, Context: 20})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Generate(context.Background(), []lm.Request{{Prompt: []int32{1, 2, 3}, MaxNew: 5}}, lm.Sampling{})
	require.NoError(t, err)
}
