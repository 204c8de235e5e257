package ggml

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// Batches that cannot be evaluated are errors that name sequence and position, before
// anything is computed; the step goes on.
func TestBadBatches(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, false), true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true})
	good := all([]int32{1, 2, 3})
	with := func(q lm.Sequence) []lm.Sequence { return []lm.Sequence{good, q} }
	nan := float32(math.NaN())
	for _, c := range []struct {
		name  string
		batch []lm.Sequence
		opt   lm.Options
		want  string
		is    error
	}{
		{"no sequences", nil, lm.Options{}, "the batch is empty", nil},
		{"an empty sequence", with(lm.Sequence{}), lm.Options{}, "sequence 1 of the batch is empty", nil},
		{"nothing asked", []lm.Sequence{{Tokens: []int32{1, 2}}}, lm.Options{}, "asks for nothing", nil},
		{"a negative id", with(all([]int32{5, -1})), lm.Options{}, "sequence 1, position 1: token id -1",
			lm.ErrBadToken},
		{"an id of the next vocabulary", with(all([]int32{5, 6, 71})), lm.Options{},
			"sequence 1, position 2: token id 71, the vocabulary has 71", lm.ErrBadToken},
		{"too long", with(all(make([]int32, 321))), lm.Options{},
			"sequence 1 has 321 tokens, the model's context is 320", lm.ErrContextFull},
		{"the first token as target", with(lm.Sequence{Tokens: []int32{1, 2}, Targets: []int32{0}}), lm.Options{},
			"sequence 1: target position 0", nil},
		{"a target behind the end", with(lm.Sequence{Tokens: []int32{1, 2}, Targets: []int32{1, 2}}), lm.Options{},
			"target position 2", nil},
		{"targets out of order", with(lm.Sequence{Tokens: []int32{1, 2, 3}, Targets: []int32{2, 1}}), lm.Options{},
			"want ascending positions from 1 to 2", nil},
		{"a target twice", with(lm.Sequence{Tokens: []int32{1, 2, 3}, Targets: []int32{1, 1}}), lm.Options{},
			"want ascending", nil},
		{"a head where there is none", with(lm.Sequence{Tokens: []int32{1, 2}, Heads: []int32{1}}), lm.Options{},
			"no adapter of the stack has one", nil},
		{"a negative temperature", with(good), lm.Options{Temperature: -1}, "temperature -1", nil},
		{"a temperature of NaN", with(good), lm.Options{Temperature: nan}, "temperature NaN", nil},
		{"an infinite temperature", with(good), lm.Options{Temperature: float32(math.Inf(1))}, "temperature +Inf", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Forward(context.Background(), c.batch, c.opt)
			t.Log(err)
			require.ErrorContains(t, err, c.want)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			require.ErrorIs(t, s.Backward(lm.Gradient{}), lm.ErrNoGradient)
		})
	}
	forward(t, s, []lm.Sequence{good}, lm.Options{}) // as before
	forward(t, s, []lm.Sequence{all(make([]int32, 320))}, lm.Options{})

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Forward(ctx, []lm.Sequence{good}, lm.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// Heads are asked of positions too.
func TestBadHeadPositions(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := step(t, m,
		StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, true), false)}})
	for _, heads := range [][]int32{{-1}, {2}, {1, 0}, {0, 0}} {
		_, err := s.Forward(context.Background(), []lm.Sequence{{Tokens: []int32{1, 2}, Heads: heads}}, lm.Options{})
		require.ErrorContains(t, err, "sequence 0: head position")
	}
	out := forward(t, s, []lm.Sequence{{Tokens: []int32{1, 2}, Heads: []int32{0, 1}}}, lm.Options{})
	require.Len(t, out.Heads[0], 2)
}

// A gradient needs the forward pass it belongs to, and its shape.
func TestBackwardNeedsItsForward(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, true), true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true})
	other := step(t, m, StepOptions{Adapters: []*Adapter{l}})
	batch := raggedBatch(1, tinyShape.Vocab, true, 5, 4)
	g := randomGradient(2, batch, false)
	grad := lm.Options{Gradient: true}
	none := func(what string) {
		t.Helper()
		require.ErrorIs(t, s.Backward(g), lm.ErrNoGradient, what)
	}

	none("before any forward pass")
	forward(t, s, batch, lm.Options{})
	none("after a forward pass without gradient")
	forward(t, s, batch, grad)
	require.NoError(t, s.Backward(g))
	none("twice")
	forward(t, s, batch, grad)
	forward(t, other, batch, lm.Options{})
	none("after another step's forward pass, which took the memory")
	_, err := other.Forward(context.Background(), batch, grad)
	require.ErrorIs(t, err, lm.ErrNoGradient, "a stack that is not trained")

	forward(t, s, batch, grad)
	require.ErrorContains(t, s.Backward(randomGradient(2, batch, true)),
		"entropies, which the forward pass was not asked for")
	grad.Entropy, grad.EntropyGradient = true, true
	forward(t, s, batch, grad)
	for _, c := range []struct {
		bad  lm.Gradient
		want string
	}{
		{lm.Gradient{Logprobs: g.Logprobs[:1]}, "log-probabilities has 1 sequences, the batch 2"},
		{lm.Gradient{Heads: [][]float32{nil, {1}, nil}}, "heads has 3 sequences"},
		{lm.Gradient{Entropy: [][]float32{{1, 2, 3}, nil}}, "entropies: sequence 0 has 3 values, want 4"},
	} {
		require.ErrorContains(t, s.Backward(c.bad), c.want)
	}
	require.NoError(t, s.Backward(g), "a gradient of the wrong shape can be given again in the right one")
	require.NoError(t, s.ZeroGrad())

	// an optimizer step needs a trained stack
	_, err = other.Update(lm.Update{LR: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})
	require.ErrorIs(t, err, lm.ErrNoGradient)
	_, err = other.State()
	require.ErrorContains(t, err, "not trained")
}

// Gradients that are not numbers, and hyper-parameters out of range, leave the
// weights as they are.
func TestBadUpdates(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, false), true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true})
	batch := raggedBatch(1, tinyShape.Vocab, false, 6)
	before, err := s.State()
	require.NoError(t, err)
	good := lm.Update{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1}

	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		g := randomGradient(2, batch, false)
		g.Logprobs[0][2] = bad
		forward(t, s, batch, lm.Options{Gradient: true})
		require.NoError(t, s.Backward(g))
		_, err = s.Update(good)
		require.ErrorIs(t, err, ErrNotFinite)
	}
	nan := math.NaN()
	for _, c := range []struct {
		change func(*lm.Update)
		want   string
	}{
		{func(u *lm.Update) { u.LR = -1 }, "learning rate is -1"},
		{func(u *lm.Update) { u.LR = nan }, "learning rate is NaN"},
		{func(u *lm.Update) { u.LR = math.Inf(1) }, "learning rate is +Inf"},
		{func(u *lm.Update) { u.Beta1 = 1 }, "beta1 is 1"},
		{func(u *lm.Update) { u.Beta2 = -0.1 }, "beta2 is -0.1"},
		{func(u *lm.Update) { u.Eps = 0 }, "eps is 0"},
		{func(u *lm.Update) { u.WeightDecay = nan }, "weight decay is NaN"},
		{func(u *lm.Update) { u.MaxGradNorm = -1 }, "max gradient norm is -1"},
	} {
		u := good
		c.change(&u)
		_, err := s.Update(u)
		require.ErrorContains(t, err, c.want)
	}
	after, err := s.State()
	require.NoError(t, err)
	require.Equal(t, before, after)

	// the next good batch works
	forward(t, s, batch, lm.Options{Gradient: true})
	require.NoError(t, s.Backward(randomGradient(2, batch, false)))
	_, err = s.Update(good)
	require.NoError(t, err)
}

// A checkpoint of another adapter changes nothing; a good one puts all back.
func TestSetState(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := step(t, m,
		StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, true), true)},
			Train: true})
	batch := raggedBatch(1, tinyShape.Vocab, true, 6, 9)
	g := randomGradient(2, batch, false)
	learn := func() {
		forward(t, s, batch, lm.Options{Gradient: true})
		require.NoError(t, s.Backward(g))
		_, err := s.Update(lm.Update{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8})
		require.NoError(t, err)
	}
	state := func() *lm.State {
		st, err := s.State()
		require.NoError(t, err)
		return st
	}
	learn()
	early := state()
	learn()
	learn()
	late := state()
	require.EqualValues(t, 3, late.Step)

	for _, c := range []struct {
		spoil func(*lm.State)
		want  string
	}{
		{func(st *lm.State) { st.V = st.V[1:] }, "5 tensors, this adapter has 6"},
		{func(st *lm.State) { st.M = nil }, "0 tensors"},
		{func(st *lm.State) { st.Params[0].Name = "blk.0.attn_k.weight.lora_a" },
			"tensor 0 is blk.0.attn_k.weight.lora_a"},
		{func(st *lm.State) { st.V[1].Shape = []int{36, 3} }, "tensor 1"},
		{func(st *lm.State) { st.V[5].Data = nil }, "tensor 5 is head.bias [1] with 0 values"},
	} {
		bad := *early
		bad.Params, bad.M, bad.V = append([]lm.Tensor{}, early.Params...), append([]lm.Tensor{}, early.M...),
			append([]lm.Tensor{}, early.V...)
		c.spoil(&bad)
		require.ErrorContains(t, s.SetState(&bad), c.want)
		require.Equal(t, late, state(), "a refused checkpoint changes nothing")
	}
	require.NoError(t, s.SetState(early))
	require.Equal(t, early, state())
	learn()
	learn()
	require.Equal(t, late, state(), "gone on bit for bit")
}

func TestBadOptions(t *testing.T) {
	_, err := OpenDevice(DeviceOptions{Threads: -1})
	require.ErrorContains(t, err, "got -1")
	_, err = OpenDevice(DeviceOptions{Threads: 10000})
	require.ErrorContains(t, err, "1 to 512, got 10000")
	require.ErrorContains(t, ForceKernel("abacus"), `"abacus"`)

	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	frozen := live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, false), false)
	nan := float32(math.NaN())
	for _, c := range []struct {
		opt  StepOptions
		want string
	}{
		{StepOptions{Precision: "f16"}, `precision "f16"`},
		{StepOptions{Dropout: -0.1}, "dropout -0.1"},
		{StepOptions{Dropout: 1}, "dropout 1"},
		{StepOptions{Dropout: nan}, "dropout NaN"},
		{StepOptions{Train: true}, "the last adapter of the stack must be trainable"},
		{StepOptions{Train: true, Adapters: []*Adapter{frozen}}, "the last adapter of the stack must be trainable"},
		{StepOptions{Head: frozen}, "the adapter chosen for its head has none"},
	} {
		_, err := m.NewStep(c.opt)
		require.ErrorContains(t, err, c.want)
	}
	for _, c := range []struct {
		opt  SessionOptions
		want string
	}{
		{SessionOptions{Sequences: -1}, "sequences: want 1 to 256, got -1"},
		{SessionOptions{Sequences: 257}, "got 257"},
		{SessionOptions{Context: -1}, "context of -1 tokens"},
		{SessionOptions{Context: 321}, "the model's 320"},
	} {
		_, err := m.NewSession(c.opt)
		require.ErrorContains(t, err, c.want)
	}
	s := session(t, m, SessionOptions{Sequences: 1, Context: 16})
	for _, sp := range []lm.Sampling{
		{Temperature: -1}, {Temperature: nan}, {Temperature: float32(math.Inf(1))}, {TopK: -1}, {TopP: 1.1},
		{TopP: -0.1}, {TopP: nan}, {MinP: 2}, {MinP: nan},
	} {
		_, err := s.Generate(context.Background(), []lm.Request{{Prompt: []int32{1}, MaxNew: 1}}, sp)
		require.ErrorContains(t, err, "sampling", "%+v", sp)
	}
	for _, c := range []struct {
		req  lm.Request
		want string
		is   error
	}{
		{lm.Request{}, "request 0 has an empty prompt", nil},
		{lm.Request{Prompt: []int32{1}, MaxNew: -1}, "max new tokens -1", nil},
		{lm.Request{Prompt: []int32{71}, MaxNew: 1}, "token id 71, the vocabulary has 71", lm.ErrBadToken},
		{lm.Request{Prompt: make([]int32, 17)}, "room for 16", lm.ErrContextFull},
	} {
		_, err := s.Generate(context.Background(), []lm.Request{c.req}, lm.Sampling{})
		require.ErrorContains(t, err, c.want)
		if c.is != nil {
			require.ErrorIs(t, err, c.is)
		}
	}
	_, err = s.Logits(make([]int32, 17))
	require.ErrorIs(t, err, lm.ErrContextFull)
}
