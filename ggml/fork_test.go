package ggml

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// groupsOf are n answers to each of several prompts, of different lengths and each with a stream of its own.
func groupsOf(n int, prompts ...[]int32) (reqs []lm.Request) {
	for g, p := range prompts {
		for i := range n {
			reqs = append(reqs, lm.Request{Prompt: p, MaxNew: 1 + (5*i+3*g)%11, Seed: uint64(100*g + i)})
		}
	}
	return reqs
}

// forked answers requests with sharing and returns how many prompt tokens were read.
func forked(t testing.TB, s *Session, sp lm.Sampling, aligned bool, reqs []lm.Request) ([]lm.Generation, int) {
	t.Helper()
	r := s.rollout(reqs)
	r.aligned = aligned
	got, err := r.run(context.Background(), sp)
	require.NoError(t, err)
	return got, r.read
}

// requireForksExact checks that sharing changes no bit of any answer, with slots for all requests and with
// few that are refilled, and that a prompt which all have a slot for is read once.
func requireForksExact(t *testing.T, open func(opt SessionOptions) *Session, context int, reqs []lm.Request) {
	t.Helper()
	sp := lm.Sampling{Temperature: 1}
	apart := open(SessionOptions{Sequences: 3, Context: context, Unshared: true})
	want, read := forked(t, apart, sp, false, reqs)
	distinct, all, again := 0, 0, 0
	for i, q := range reqs {
		all += len(q.Prompt)
		switch {
		case i == 0 || &q.Prompt[0] != &reqs[i-1].Prompt[0]:
			distinct += len(q.Prompt)
		case len(q.Prompt) > minShared: // who gets a slot late decodes the last token of its prompt, no more
			again++
		default:
			again += len(q.Prompt)
		}
	}
	require.Equal(t, all, read, "unshared")
	for _, slots := range []int{1, 2, 5, len(reqs)} {
		s := open(SessionOptions{Sequences: slots, Context: context})
		for _, aligned := range []bool{false, true} {
			got, read := forked(t, s, sp, aligned, reqs)
			require.Equal(t, want, got, "%d slots, aligned %t", slots, aligned)
			if slots == len(reqs) {
				require.Equal(t, distinct, read, "aligned %t", aligned)
			}
			require.LessOrEqual(t, read, distinct+again, "%d slots, aligned %t", slots, aligned)
		}
	}
}

// Groups of answers to one prompt get, to the bit, what each gets when it reads the prompt itself: in every
// family, on both sides of its windows, after one token and after many.
func TestArchForksChangeNothing(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		stack := randomStack(t, m, 1)
		prompts := raggedBatch(9, m.info.Vocab, false, 1, 90, 7, 40)
		reqs := groupsOf(4, prompts[0].Tokens, prompts[1].Tokens, prompts[2].Tokens, prompts[3].Tokens)
		requireForksExact(t, opening(t, m, stack), 101, reqs)
	})
}

// opening opens sessions on a model until the end of the test.
func opening(t testing.TB, m *Model, stack []*Adapter) func(SessionOptions) *Session {
	return func(opt SessionOptions) *Session {
		opt.Adapters = stack
		s, err := m.NewSession(opt)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
}

// Prompts that are longer than a batch of the engine, and some that share their beginning only; on every set of
// kernels.
func TestForksOfLongPrompts(t *testing.T) {
	shape := tinyShape
	shape.Ctx = 1536
	path := tiny(t, shape, gguftest.Options{})
	eachKernel(t, func(t *testing.T, kernel string) {
		t.Run(kernel, func(t *testing.T) {
			m := openTiny(t, path)
			tokens := raggedBatch(6, shape.Vocab, false, 1200, 30)
			long, short := tokens[0].Tokens, tokens[1].Tokens
			// 513: a batch and the last token
			reqs := groupsOf(3, long[:1100], long[100:613], short)
			requireForksExact(t, opening(t, m, randomStack(t, m, 2)), 1200, reqs)

			mixed := groupsOf(3, long[:700], long[:650], long[:20], long[:1])
			for i := range mixed { // not in groups
				j := (5 * i) % len(mixed)
				mixed[i], mixed[j] = mixed[j], mixed[i]
			}
			want, _ := forked(t, opening(t, m, nil)(SessionOptions{Sequences: 2, Context: 800, Unshared: true}),
				lm.Sampling{Temperature: 1}, false, mixed)
			for _, slots := range []int{1, 3, 7, 12} {
				s := opening(t, m, nil)(SessionOptions{Sequences: slots, Context: 800})
				for _, aligned := range []bool{false, true} {
					got, read := forked(t, s, lm.Sampling{Temperature: 1}, aligned, mixed)
					require.Equal(t, want, got, "%d slots, aligned %t", slots, aligned)
					require.Less(t, read, 2*700+slots*20, "%d slots, aligned %t", slots, aligned)
				}
			}
		})
	})
}

// A real model with windows (512 tokens) and prompts on both sides of it.
func TestForksOfGemma(t *testing.T) {
	m := open(t, testfiles.Gemma(t))
	tokens := raggedBatch(6, m.info.Vocab, false, 600)[0].Tokens
	reqs := groupsOf(2, tokens[:540], tokens[550:590])
	sp := lm.Sampling{Temperature: 1}
	want, _ := forked(t, opening(t, m, nil)(SessionOptions{Sequences: 2, Context: 552, Unshared: true}), sp, false,
		reqs)
	for _, slots := range []int{2, 3} {
		got, read := forked(t, opening(t, m, nil)(SessionOptions{Sequences: slots, Context: 552}), sp, false, reqs)
		require.Equal(t, want, got, "%d slots", slots)
		require.LessOrEqual(t, read, 540+40+1)
	}
}

// Every answer of a group has its own stream, ends for its own reasons, and is told token by token.
func TestForksAreIndependent(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 6, Context: 64})
	sp := lm.Sampling{Temperature: 1.5}
	prompt := []int32{5, 6, 7}
	free := generate(t, s, sp, lm.Request{Prompt: prompt, MaxNew: 12, Seed: 3})[0]
	var told []int32
	gens := generate(t, s, sp,
		lm.Request{Prompt: prompt, MaxNew: 12, Seed: 3},
		lm.Request{Prompt: prompt, MaxNew: 0, Seed: 3},
		lm.Request{Prompt: prompt, MaxNew: 12, Seed: 4},
		lm.Request{Prompt: prompt, MaxNew: 1, Seed: 3},
		lm.Request{Prompt: prompt, MaxNew: 12, Seed: 3, StopTokens: free.Tokens[:1]},
		lm.Request{Prompt: prompt, MaxNew: 12, Seed: 3, OnToken: func(id int32) { told = append(told, id) }},
		lm.Request{Prompt: prompt, MaxNew: 5, Seed: 3})
	require.Equal(t, free, gens[0])
	require.Empty(t, gens[1].Tokens)
	require.NotEqual(t, free.Tokens, gens[2].Tokens)
	require.Equal(t, lm.Generation{Tokens: free.Tokens[:1], Finish: lm.FinishLength}, gens[3])
	require.Equal(t, lm.Generation{Tokens: free.Tokens[:1], Finish: lm.FinishStopToken}, gens[4])
	require.Equal(t, free, gens[5])
	require.Equal(t, free.Tokens, told)
	require.Equal(t, free.Tokens[:5], gens[6].Tokens)
}

// A fork takes no room of its own: the context of a slot may be filled to the last token by each of a group.
func TestForksFillTheContext(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 4, Context: 300})
	prompt := raggedBatch(4, tinyShape.Vocab, false, 200)[0].Tokens
	var reqs []lm.Request
	for i := range 6 {
		reqs = append(reqs, lm.Request{Prompt: prompt, MaxNew: 100, Seed: uint64(i)})
	}
	for i, g := range generate(t, s, lm.Sampling{Temperature: 1}, reqs...) {
		require.Len(t, g.Tokens, 100)
		require.Equal(t, generate(t, s, lm.Sampling{Temperature: 1}, reqs[i])[0], g)
	}
}

// On a GPU a group is forked, too: what follows its prompt is drawn from the same logits.
func TestForksOnTheEmulatedGPU(t *testing.T) {
	m := openOn(t, emulatedGPU(t), tiny(t, tinyShape, gguftest.Options{}))
	for _, kvF32 := range []bool{false, true} {
		s := opening(t, m, randomStack(t, m, 1))(SessionOptions{Sequences: 5, Context: 64, KVF32: kvF32})
		prompts := raggedBatch(9, m.info.Vocab, false, 30, 1, 9)
		reqs := groupsOf(4, prompts[0].Tokens, prompts[1].Tokens, prompts[2].Tokens)
		for i := range reqs {
			reqs[i].Seed = uint64(i / 4) // alike: a group differs in nothing but the length of its answers
		}
		r := s.rollout(reqs)
		require.True(t, r.aligned)
		got, err := r.run(context.Background(), lm.Sampling{Temperature: 1})
		require.NoError(t, err)
		for i := range reqs {
			for j := range reqs[:i] {
				if i/4 == j/4 {
					require.Equal(t, got[i].Tokens[0], got[j].Tokens[0], "f32 %t, requests %d and %d", kvF32, i, j)
				}
			}
		}
		t.Logf("f32 %t: %d of %d prompt tokens read", kvF32, r.read, 4*40)
		require.LessOrEqual(t, r.read, 40+12)

		greedy, _ := forked(t, s, lm.Sampling{}, true, reqs)
		for i, g := range greedy { // each token is the likeliest after those before it
			all, err := s.Logits(slices.Concat(reqs[i].Prompt, g.Tokens))
			require.NoError(t, err)
			for j, id := range g.Tokens {
				row := all[len(reqs[i].Prompt)+j-1]
				require.InDelta(t, slices.Max(row), row[id], 1e-3, "f32 %t, request %d, token %d", kvF32, i, j)
			}
		}
	}
}

// A draw after a token that is not in the batch is refused.
func TestDrawAfterNothing(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 1, Context: 16})
	for _, after := range []int32{-1, 1} {
		err := s.do(func() error {
			return s.native.Decode([]int32{5}, []int32{0}, []int32{0}, []int32{after}, []float64{0.5}, cgo.Sampling{},
				[]int32{-1})
		})
		require.ErrorContains(t, err, fmt.Sprintf("a draw after token %d of a batch of 1", after))
	}
}
