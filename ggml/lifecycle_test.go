package ggml

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/ggml/transformer"
)

// stackOf is one of everything, none of it closed by itself.
type stackOf struct {
	dev     *Device
	model   *Model
	adapter *Adapter
	step    *Step
	session *Session
	host    *adapter.Adapter
}

func openStack(t *testing.T) stackOf {
	t.Helper()
	var s stackOf
	var err error
	s.dev, err = OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	s.model, err = LoadModel(s.dev, tiny(t, tinyShape, gguftest.Options{}), ModelOptions{})
	require.NoError(t, err)
	s.host = randomAdapter(t, s.model, adapter.Targets(), 2, true)
	s.adapter, err = s.model.NewAdapter(s.host, true)
	require.NoError(t, err)
	s.step, err = s.model.NewStep(StepOptions{Adapters: []*Adapter{s.adapter}, Train: true})
	require.NoError(t, err)
	s.session, err = s.model.NewSession(SessionOptions{Sequences: 1, Context: 32, Adapters: []*Adapter{s.adapter}})
	require.NoError(t, err)
	return s
}

// Closing from the wrong end is an error that says what is still open, and changes nothing.
func TestClosingInTheWrongOrder(t *testing.T) {
	before := Alive()
	s := openStack(t)
	for _, c := range []struct {
		close func() error
		want  string
	}{{s.dev.Close, "models"}, {s.model.Close, "1 open"}, {s.adapter.Close, "1 open"}} {
		err := c.close()
		require.ErrorIs(t, err, ErrOpenChildren)
		require.ErrorContains(t, err, c.want)
	}
	batch := raggedBatch(1, tinyShape.Vocab, true, 5)
	forward(t, s.step, batch, lm.Options{}) // all of it still works

	require.NoError(t, s.step.Close())
	require.ErrorIs(t, s.adapter.Close(), ErrOpenChildren, "the session is left")
	require.NoError(t, s.session.Close())
	require.NoError(t, s.adapter.Close())
	require.NoError(t, s.model.Close())
	require.NoError(t, s.dev.Close())
	require.Equal(t, before, Alive())
}

// Whatever is closed says so when it is used, and may be closed again.
func TestUseAfterClose(t *testing.T) {
	before := Alive()
	s := openStack(t)
	ctx := context.Background()
	batch := raggedBatch(1, tinyShape.Vocab, true, 5)
	st, err := s.step.State()
	require.NoError(t, err)
	tok := s.model.Tokenizer()
	closed := func(what string, err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrClosed, what)
	}

	forward(t, s.step, batch, lm.Options{Gradient: true})
	require.NoError(t, s.step.Close())
	require.NoError(t, s.step.Close())
	_, err = s.step.Forward(ctx, batch, lm.Options{})
	closed("forward", err)
	_, err = s.step.FullKL(ctx, s.step, batch, lm.Options{})
	closed("full KL", err)
	closed("backward", s.step.Backward(lm.Gradient{}))
	_, err = s.step.Update(lm.Update{LR: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})
	closed("update", err)
	closed("zero", s.step.ZeroGrad())
	_, err = s.step.Gradients()
	closed("gradients", err)
	_, err = s.step.State()
	closed("state", err)
	closed("set state", s.step.SetState(st))

	require.NoError(t, s.session.Close())
	require.NoError(t, s.session.Close())
	_, err = s.session.Generate(ctx, []lm.Request{{Prompt: []int32{1}, MaxNew: 1}}, lm.Sampling{})
	closed("generate", err)
	_, err = s.session.Logits([]int32{1})
	closed("logits", err)

	require.NoError(t, s.adapter.Close())
	require.NoError(t, s.adapter.Close())
	_, err = s.adapter.Host()
	closed("host", err)
	_, err = s.model.NewStep(StepOptions{Adapters: []*Adapter{s.adapter}})
	closed("a step on a closed adapter", err)
	_, err = s.model.NewStep(StepOptions{Head: s.adapter})
	closed("the head of a closed adapter", err)
	_, err = s.model.NewSession(SessionOptions{Adapters: []*Adapter{s.adapter}, Context: 32})
	closed("a session on a closed adapter", err)

	require.NoError(t, s.model.Close())
	require.NoError(t, s.model.Close())
	_, err = s.model.NewAdapter(s.host, true)
	closed("adapter of a closed model", err)
	_, err = s.model.NewStep(StepOptions{})
	closed("step of a closed model", err)
	_, err = s.model.NewSession(SessionOptions{Context: 32})
	closed("session of a closed model", err)
	_, err = tok.Encode("a", false, false)
	closed("tokenizer of a closed model", err)
	require.Empty(t, tok.Decode([]int32{1}, true))
	require.EqualValues(t, -1, tok.EOS())

	require.NoError(t, s.dev.Close())
	require.NoError(t, s.dev.Close())
	_, err = LoadModel(s.dev, s.model.path, ModelOptions{})
	closed("model of a closed device", err)
	require.Equal(t, before, Alive())
}

// What belongs to one model cannot be used on another, nor twice in one stack.
func TestForeignAdapters(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	a, b := openTiny(t, path), openTiny(t, path)
	host := randomAdapter(t, a, adapter.Targets(), 2, true)
	onA, onB := live(t, a, host, true), live(t, b, host, true)
	for _, c := range []struct {
		name  string
		stack []*Adapter
		want  string
	}{
		{"another model's", []*Adapter{onA, onB}, "adapter 1 of the stack belongs to another model"},
		{"nil", []*Adapter{nil, onA}, "adapter 0 of the stack is nil"},
		{"twice", []*Adapter{onA, onA}, "adapter 1 of the stack is in it twice"},
	} {
		_, err := a.NewStep(StepOptions{Adapters: c.stack})
		require.ErrorContains(t, err, c.want, c.name)
		_, err = a.NewSession(SessionOptions{Adapters: c.stack, Context: 32})
		require.ErrorContains(t, err, c.want, c.name)
	}
	stack := []*Adapter{onA}
	for range transformer.MaxPairs {
		stack = append(stack, live(t, a, host, false))
	}
	require.NoError(t, step(t, a, StepOptions{Adapters: stack[:transformer.MaxPairs]}).Close())
	_, err := a.NewStep(StepOptions{Adapters: stack})
	require.ErrorContains(t, err, "more than 3 adapters of the stack change it")
	_, err = a.NewStep(StepOptions{Head: onB})
	require.ErrorContains(t, err, "belongs to another model")
	require.NoError(t, onA.open.empty("adapter"), "nothing stays counted")
}

// Every call goes through the one engine thread: callers from many goroutines queue
// up (go test -race checks the rest).
func TestManyGoroutines(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true)
	want := forward(t, step(t, m, StepOptions{Adapters: []*Adapter{l}}), raggedBatch(1, tinyShape.Vocab, true, 9),
		lm.Options{})
	var wg sync.WaitGroup
	for range 4 {
		s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true})
		gen := session(t, m, SessionOptions{Sequences: 2, Context: 32, Adapters: []*Adapter{l}})
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 5 {
				out, err := s.Forward(context.Background(), raggedBatch(1, tinyShape.Vocab, true, 9),
					lm.Options{Gradient: true})
				if err != nil || out.Heads[0][0] != want.Heads[0][0] {
					t.Errorf("forward: %v, %v", out, err)
				}
				_ = s.Backward(lm.Gradient{}) // another goroutine's forward may have come between: ErrNoGradient
				if _, err := gen.Generate(context.Background(), []lm.Request{{Prompt: []int32{1}, MaxNew: 3}},
					lm.Sampling{}); err != nil {
					t.Errorf("generate: %v", err)
				}
			}
		}()
	}
	wg.Wait()
}
