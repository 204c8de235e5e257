package ggml

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// decodeTol is what decoding and the training forward may differ by in f32, nats.
const decodeTol = 1e-4

// session opens a decoding context in f32 until the end of the test.
func session(t testing.TB, m *Model, opt SessionOptions) *Session {
	t.Helper()
	opt.KVF32 = true
	s, err := m.NewSession(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// decodeLogprobs is log p of every token but the first, from libllama's logits.
func decodeLogprobs(t testing.TB, s *Session, tokens []int32) []float32 {
	t.Helper()
	logits, err := s.Logits(tokens)
	require.NoError(t, err)
	var out []float32
	for i, row := range logits[:len(tokens)-1] {
		top := float64(row[0])
		for _, l := range row {
			top = max(top, float64(l))
		}
		var sum float64
		for _, l := range row {
			sum += math.Exp(float64(l) - top)
		}
		out = append(out, float32(float64(row[tokens[i+1]])-top-math.Log(sum)))
	}
	return out
}

// scaledRope copies a model with RoPE scaling metadata.
func scaledRope(kind string, factor float32) func(testing.TB, string) string {
	return func(t testing.TB, from string) string {
		return edited(t, from,
			edit{keys: map[string]any{"llama.rope.scaling.type": kind, "llama.rope.scaling.factor": factor}})
	}
}

// libllama's decode and our forward pass see the same model: with every shape of
// network that is supported and none, one and two adapters.
func TestDecodeEqualsForward(t *testing.T) {
	rank := func(r int, rs bool) func(*testing.T, *Model) *adapter.Adapter {
		return func(t *testing.T, m *Model) *adapter.Adapter {
			a, err := adapter.New(m.Shape(), adapter.Targets(), r, 6, rs, uint64(r))
			require.NoError(t, err)
			rng := random(uint64(r))
			for i := range a.Pairs {
				for j := range a.Pairs[i].B {
					a.Pairs[i].B[j] = float32(0.2 * rng.NormFloat64())
				}
			}
			return a
		}
	}
	type stack []func(*testing.T, *Model) *adapter.Adapter
	one, two := stack{rank(3, false)}, stack{rank(3, false), rank(5, false)}
	for _, c := range []struct {
		name  string
		shape func(*gguftest.Shape)
		opt   gguftest.Options
		file  func(testing.TB, string) string
		stack stack
	}{
		{name: "no adapter"},
		{name: "one adapter", stack: one},
		{name: "two adapters of different rank", stack: two},
		{name: "rank-stabilized", stack: stack{rank(4, true)}},
		{name: "as many kv heads as heads", shape: func(s *gguftest.Shape) { s.KVHeads = 6 }, stack: one},
		{name: "one kv head", shape: func(s *gguftest.Shape) { s.KVHeads = 1 }, stack: one},
		{name: "untied", opt: gguftest.Options{Untied: true}, stack: two},
		{name: "rope frequency factors", opt: gguftest.Options{RopeFreqs: true}, stack: one},
		{name: "positions divided by 4", file: scaledRope("linear", 4), stack: one},
		{name: "a factor that is switched off", file: scaledRope("none", 4), stack: one},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape := tinyShape
			if c.shape != nil {
				c.shape(&shape)
			}
			path := tiny(t, shape, c.opt)
			if c.file != nil {
				path = c.file(t, path)
			}
			m := openTiny(t, path)
			var adapters []*Adapter
			for _, a := range c.stack {
				adapters = append(adapters, live(t, m, a(t, m), false))
			}
			tokens := raggedBatch(3, shape.Vocab, false, 60)[0].Tokens
			want := forward(t, step(t, m, StepOptions{Adapters: adapters, Precision: F32}), []lm.Sequence{all(tokens)},
				lm.Options{})
			got := decodeLogprobs(t, session(t, m, SessionOptions{Sequences: 1, Context: 64, Adapters: adapters}),
				tokens)
			largest, mean := maxMean(got, want.Logprobs[0])
			t.Logf("%d log-probabilities: max %.1g, mean %.1g", len(got), largest, mean)
			require.LessOrEqual(t, largest, decodeTol)
			if len(adapters) > 0 { // the adapters matter
				bare := forward(t, step(t, m, StepOptions{Precision: F32}), []lm.Sequence{all(tokens)}, lm.Options{})
				away, _ := maxMean(bare.Logprobs[0], got)
				require.Greater(t, away, 0.1)
			}
		})
	}
}

// Training is seen by decoding at once, without export or reload, and by both
// alike: the loss falls step by step in the trainer's and in libllama's own numbers.
func TestDecodeSeesEveryUpdate(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	frozen := live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false)
	trained := live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true)
	stack := []*Adapter{frozen, trained}
	learner := step(t, m, StepOptions{Adapters: stack, Train: true, Precision: F32})
	policy := session(t, m, SessionOptions{Sequences: 1, Context: 64, Adapters: stack})
	reference := session(t, m, SessionOptions{Sequences: 1, Context: 64, Adapters: stack[:1]})

	q := all(raggedBatch(3, tinyShape.Vocab, false, 40)[0].Tokens)
	before := decodeLogprobs(t, reference, q.Tokens)
	last := math.Inf(1)
	for k := range 8 {
		ours := meanNLL(t, learner, []lm.Sequence{q}, len(q.Targets), lm.Options{}, true)
		var theirs float64
		for _, lp := range decodeLogprobs(t, policy, q.Tokens) {
			theirs -= float64(lp) / float64(len(q.Targets))
		}
		t.Logf("step %d: loss %.6f by the trainer, %.6f by libllama", k, ours, theirs)
		require.InDelta(t, ours, theirs, decodeTol)
		require.Less(t, ours, last, "step %d", k)
		last = ours
		_, err := learner.Update(lm.Update{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1})
		require.NoError(t, err)
	}
	require.Equal(t, before, decodeLogprobs(t, reference, q.Tokens),
		"the reference, another context on the same model, must not move")

	// and SetState is seen as well
	st, err := learner.State()
	require.NoError(t, err)
	for i := range st.Params {
		for j := range st.Params[i].Data {
			st.Params[i].Data[j] = 0
		}
	}
	require.NoError(t, learner.SetState(st))
	largest, _ := maxMean(before, decodeLogprobs(t, policy, q.Tokens))
	require.LessOrEqual(t, largest, decodeTol, "a zero adapter changes nothing")
}

// A greedy continuation is, token by token, what the trainer's forward calls the
// likeliest.
func TestGreedyDecodingIsTheForwardsArgmax(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	stack := []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 2, false), false)}
	s := session(t, m, SessionOptions{Sequences: 3, Context: 64, Adapters: stack})
	var reqs []lm.Request
	for _, q := range raggedBatch(4, tinyShape.Vocab, false, 7, 1, 12, 3, 5) {
		reqs = append(reqs, lm.Request{Prompt: q.Tokens, MaxNew: 20})
	}
	gens, err := s.Generate(context.Background(), reqs, lm.Sampling{})
	require.NoError(t, err)
	var batch []lm.Sequence
	for i, g := range gens {
		q := lm.Sequence{Tokens: append(append([]int32{}, reqs[i].Prompt...), g.Tokens...)}
		for p := len(reqs[i].Prompt); p < len(q.Tokens); p++ {
			q.Targets = append(q.Targets, int32(p))
		}
		batch = append(batch, q)
	}
	out := forward(t, step(t, m, StepOptions{Adapters: stack, Precision: F32}), batch, lm.Options{Greedy: true})
	for i := range out.Greedy {
		for j, greedy := range out.Greedy[i] {
			require.True(t, greedy, "request %d, token %d", i, j)
		}
	}
}
