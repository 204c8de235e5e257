package ggml

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"steer/cgo"
	"steer/ggml/lm"
)

// SessionOptions configures NewSession.
type SessionOptions struct {
	// Adapters are switched on for the life of the session; at most two.
	Adapters []*Adapter
	// Sequences is how many are decoded at once, at most 256; 0 means 64. A token of the
	// cache takes 4 * layers * kv heads * head size bytes, and libllama rounds Context up
	// to a multiple of 256.
	Sequences int
	// Context is the room of each sequence in tokens, prompt and response; 0 means 512.
	Context int
	// KVF32 keeps keys and values in f32 and switches flash attention off, for
	// comparisons with the training forward pass.
	KVF32 bool
	// Unshared has every request's prompt read whole, though others begin alike: for comparisons.
	Unshared bool

	plain bool // libllama's own kernels, for tests
}

// Session decodes text by libllama on the model's own weights and on live adapters.
// It implements lm.Generator.
type Session struct {
	m      *Model
	opt    SessionOptions
	native cgo.Session
	mu     sync.Mutex // one Generate at a time: they share the cache
	closed bool
	pieces map[int32]string // texts of tokens, for stop strings
}

var _ lm.Generator = (*Session)(nil)

// prefillBatch is the most tokens of one native decode call.
const prefillBatch = 512

// complete fills in what was left 0 and checks the rest.
func (opt *SessionOptions) complete(m *Model) error {
	if opt.Sequences == 0 {
		opt.Sequences = 64
	}
	if opt.Context == 0 {
		opt.Context = 512
	}
	if opt.Sequences < 1 || opt.Sequences > 256 {
		return fmt.Errorf("session: sequences: want 1 to 256, got %d", opt.Sequences)
	}
	if opt.Context < 1 || opt.Context > m.info.CtxTrain {
		return fmt.Errorf("session: context of %d tokens: want 1 to the model's %d: %w", opt.Context, m.info.CtxTrain,
			lm.ErrContextFull)
	}
	return nil
}

// batch is the most tokens of one native decode call.
func (opt *SessionOptions) batch() int { return max(prefillBatch, opt.Sequences) }

// NewSession opens a decoding context. The adapters stay attached until Close:
// libllama does not notice a change of adapters between two batches of one shape.
func (m *Model) NewSession(opt SessionOptions) (*Session, error) {
	if err := opt.complete(m); err != nil {
		return nil, err
	}
	opt.Adapters = slices.Clone(opt.Adapters)
	s := &Session{m: m, opt: opt, pieces: map[int32]string{}}
	err := m.do(func() error {
		if err := m.checkStack(opt.Adapters); err != nil {
			return err
		}
		if slices.ContainsFunc(opt.Adapters, func(a *Adapter) bool { return a.planned }) {
			return errPlanned
		}
		var err error
		if s.native, err = cgo.NewSession(m.dev.native, m.native, decoded(opt.Adapters), opt.Sequences, opt.Context,
			opt.batch(), opt.KVF32, opt.plain); err != nil {
			return err
		}
		for _, a := range opt.Adapters {
			a.open.add("sessions", 1)
		}
		m.open.add("sessions", 1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return s, nil
}

// decoded lists the adapters that change decoding: one that is only a head does not.
func decoded(stack []*Adapter) (loras []cgo.LoRA) {
	for _, a := range stack {
		if len(a.host.Pairs) > 0 {
			loras = append(loras, a.native)
		}
	}
	return loras
}

// do runs f on the engine thread while the session is open.
func (s *Session) do(f func() error) error {
	return s.m.dev.do(func() error {
		if s.closed {
			return fmt.Errorf("session: %w", ErrClosed)
		}
		return f()
	})
}

// check refuses requests that cannot be decoded, before anything is.
func (s *Session) check(reqs []lm.Request, sp lm.Sampling) error {
	share := func(p float32) bool { return p >= 0 && p <= 1 }
	if t := float64(sp.Temperature); !(t >= 0) || math.IsInf(t, 0) || sp.TopK < 0 || !share(sp.TopP) ||
		!share(sp.MinP) {
		return fmt.Errorf("session: sampling %+v: want temperature >= 0, top_k >= 0, top_p and min_p from 0 to 1", sp)
	}
	for i, r := range reqs {
		if len(r.Prompt) == 0 {
			return fmt.Errorf("session: request %d has an empty prompt: put at least BOS in it", i)
		}
		if r.MaxNew < 0 {
			return fmt.Errorf("session: request %d: max new tokens %d: want 0 or more", i, r.MaxNew)
		}
		if n := len(r.Prompt) + r.MaxNew; n > s.opt.Context {
			return fmt.Errorf(
				"session: request %d: prompt of %d tokens and %d new ones, the session has room for %d: %w",
				i, len(r.Prompt), r.MaxNew, s.opt.Context, lm.ErrContextFull)
		}
		for _, id := range r.Prompt {
			if id < 0 || int(id) >= s.m.info.Vocab {
				return fmt.Errorf("session: request %d: token id %d, the vocabulary has %d: %w", i, id, s.m.info.Vocab,
					lm.ErrBadToken)
			}
		}
	}
	return nil
}

// Logits returns the logits after the given tokens, [len(tokens)][n_vocab], decoded
// as one sequence: what the sampler sees, for comparison with the training forward.
func (s *Session) Logits(tokens []int32) ([][]float32, error) {
	if err := s.check([]lm.Request{{Prompt: tokens}}, lm.Sampling{}); err != nil {
		return nil, err
	}
	if len(tokens) > prefillBatch {
		return nil, fmt.Errorf("session: logits of %d tokens: want at most %d", len(tokens), prefillBatch)
	}
	var b decodeBatch
	for i, id := range tokens {
		b.add(id, int32(i), 0)
		b.draw(0, 0)
	}
	out := make([][]float32, len(tokens))
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.do(func() error {
		s.native.Clear()
		if err := s.native.Decode(b.tokens, b.pos, b.seq, b.after, b.uniform, cgo.Sampling{}, b.next); err != nil {
			return err
		}
		for i := range out {
			out[i] = make([]float32, s.m.info.Vocab)
			if err := s.native.Logits(i, out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Close frees the context.
func (s *Session) Close() error {
	err := s.do(func() error {
		s.closed = true
		s.native.Free()
		for _, a := range s.opt.Adapters {
			a.open.add("sessions", -1)
		}
		s.m.open.add("sessions", -1)
		return nil
	})
	return closedTwice(err)
}
