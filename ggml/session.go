package ggml

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"steer/cgo"
	"steer/ggml/seam"
)

// SessionOptions configures NewSession.
type SessionOptions struct {
	// Adapters are switched on for the life of the session; at most two.
	Adapters []*Adapter
	// Sequences is how many are decoded at once; 0 means 32.
	Sequences int
	// Context is the room of each sequence in tokens, prompt and response; 0 means 512.
	Context int
	// KVF32 keeps keys and values in f32 and switches flash attention off, for
	// comparisons with the training forward pass.
	KVF32 bool
}

// Session decodes text by libllama on the model's own weights and on live adapters.
// It implements seam.Generator.
type Session struct {
	m      *Model
	opt    SessionOptions
	native cgo.Session
	mu     sync.Mutex // one Generate at a time: they share the cache
	closed bool
}

var _ seam.Generator = (*Session)(nil)

// prefillBatch is the most tokens of one native decode call.
const prefillBatch = 512

// complete fills in what was left 0 and checks the rest.
func (opt *SessionOptions) complete(m *Model) error {
	if opt.Sequences == 0 {
		opt.Sequences = 32
	}
	if opt.Context == 0 {
		opt.Context = 512
	}
	if opt.Sequences < 1 || opt.Sequences > 256 {
		return fmt.Errorf("session: sequences: want 1 to 256, got %d", opt.Sequences)
	}
	if opt.Context < 1 || opt.Context > m.info.CtxTrain {
		return fmt.Errorf("session: context of %d tokens: want 1 to the model's %d: %w", opt.Context, m.info.CtxTrain, seam.ErrContextFull)
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
	s := &Session{m: m, opt: opt}
	err := m.do(func() error {
		if err := m.checkStack(opt.Adapters); err != nil {
			return err
		}
		if slices.ContainsFunc(opt.Adapters, func(a *Adapter) bool { return a.planned }) {
			return errPlanned
		}
		var err error
		if s.native, err = cgo.NewSession(m.dev.native, m.native, decoded(opt.Adapters), opt.Sequences, opt.Context, opt.batch(), opt.KVF32); err != nil {
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

// slot is one sequence being decoded.
type slot struct {
	req    int // index of the request; -1: free
	rng    *rand.Rand
	fed    int   // prompt tokens decoded so far
	pos    int32 // next position
	last   int32 // token to be fed next, once the prompt is through
	text   strings.Builder
	active bool
}

// Generate continues every request; see seam.Generator. Slots of finished sequences
// are refilled at once. The result does not depend on the order of the requests
// except through the arithmetic of batching.
func (s *Session) Generate(ctx context.Context, reqs []seam.Request, sp seam.Sampling) ([]seam.Generation, error) {
	if err := s.check(reqs, sp); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]seam.Generation, len(reqs))
	slots := make([]slot, s.opt.Sequences)
	if err := s.do(func() error { s.native.Clear(); return nil }); err != nil {
		return nil, err
	}
	next := 0 // request to be started next
	for i := range reqs {
		if reqs[i].MaxNew == 0 {
			out[i].Finish = seam.FinishLength
		}
	}
	var b decodeBatch
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range slots {
			for next < len(reqs) && reqs[next].MaxNew == 0 {
				next++
			}
			if !slots[i].active && next < len(reqs) {
				slots[i] = slot{req: next, rng: rand.New(rand.NewPCG(reqs[next].Seed, 0x5eed)), active: true}
				next++
			}
		}
		b.collect(slots, reqs, s.opt.batch())
		if len(b.tokens) == 0 {
			return out, nil
		}
		if err := s.decode(&b, sp); err != nil {
			return nil, err
		}
		for i, id := range b.next {
			if id < 0 {
				continue
			}
			sl := &slots[b.seq[i]]
			if s.accept(&reqs[sl.req], &out[sl.req], sl, id) {
				seq := int(b.seq[i])
				sl.active = false
				if err := s.do(func() error { s.native.Remove(seq); return nil }); err != nil {
					return nil, err
				}
			}
		}
	}
}

// check refuses requests that cannot be decoded, before anything is.
func (s *Session) check(reqs []seam.Request, sp seam.Sampling) error {
	share := func(p float32) bool { return p >= 0 && p <= 1 }
	if t := float64(sp.Temperature); !(t >= 0) || math.IsInf(t, 0) || sp.TopK < 0 || !share(sp.TopP) || !share(sp.MinP) {
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
			return fmt.Errorf("session: request %d: prompt of %d tokens and %d new ones, the session has room for %d: %w",
				i, len(r.Prompt), r.MaxNew, s.opt.Context, seam.ErrContextFull)
		}
		for _, id := range r.Prompt {
			if id < 0 || int(id) >= s.m.info.Vocab {
				return fmt.Errorf("session: request %d: token id %d, the vocabulary has %d: %w", i, id, s.m.info.Vocab, seam.ErrBadToken)
			}
		}
	}
	return nil
}

// decodeBatch is the input and output of one native decode call.
type decodeBatch struct {
	tokens, pos, seq, next []int32
	uniform                []float64
}

func (b *decodeBatch) add(token, pos int32, seq int, uniform float64) {
	b.tokens = append(b.tokens, token)
	b.pos = append(b.pos, pos)
	b.seq = append(b.seq, int32(seq))
	b.uniform = append(b.uniform, uniform)
	b.next = append(b.next, -1)
}

// collect fills the batch: while any prompt is unread, prompts only (whole prompts
// first, so that shapes stay few), else one token of every active sequence.
func (b *decodeBatch) collect(slots []slot, reqs []seam.Request, room int) {
	b.tokens, b.pos, b.seq, b.next, b.uniform = b.tokens[:0], b.pos[:0], b.seq[:0], b.next[:0], b.uniform[:0]
	for i := range slots {
		sl := &slots[i]
		if !sl.active {
			continue
		}
		prompt := reqs[sl.req].Prompt
		for sl.fed < len(prompt) && len(b.tokens) < room {
			uniform := -1.0
			if sl.fed == len(prompt)-1 {
				uniform = sl.rng.Float64()
			}
			b.add(prompt[sl.fed], sl.pos, i, uniform)
			sl.fed++
			sl.pos++
		}
	}
	if len(b.tokens) > 0 {
		return
	}
	for i := range slots {
		if sl := &slots[i]; sl.active {
			b.add(sl.last, sl.pos, i, sl.rng.Float64())
			sl.pos++
		}
	}
}

func (s *Session) decode(b *decodeBatch, sp seam.Sampling) error {
	return s.do(func() error {
		return s.native.Decode(b.tokens, b.pos, b.seq, b.uniform, cgo.Sampling{Temperature: sp.Temperature, TopK: sp.TopK, TopP: sp.TopP, MinP: sp.MinP}, b.next)
	})
}

// accept appends a drawn token to its answer and tells whether that ends it.
func (s *Session) accept(r *seam.Request, g *seam.Generation, sl *slot, id int32) bool {
	g.Tokens = append(g.Tokens, id)
	sl.last = id
	for _, stop := range r.StopTokens {
		if id == stop {
			g.Finish = seam.FinishStopToken
			return true
		}
	}
	if len(r.StopStrings) > 0 {
		sl.text.WriteString(s.m.Tokenizer().Decode([]int32{id}, true))
		for _, stop := range r.StopStrings {
			if strings.Contains(sl.text.String(), stop) {
				g.Finish = seam.FinishStopString
				return true
			}
		}
	}
	if len(g.Tokens) >= r.MaxNew {
		g.Finish = seam.FinishLength
		return true
	}
	return false
}

// Logits returns the logits after the given tokens, [len(tokens)][n_vocab], decoded
// as one sequence: what the sampler sees, for comparison with the training forward.
func (s *Session) Logits(tokens []int32) ([][]float32, error) {
	if err := s.check([]seam.Request{{Prompt: tokens}}, seam.Sampling{}); err != nil {
		return nil, err
	}
	if len(tokens) > prefillBatch {
		return nil, fmt.Errorf("session: logits of %d tokens: want at most %d", len(tokens), prefillBatch)
	}
	var b decodeBatch
	for i, id := range tokens {
		b.add(id, int32(i), 0, 0)
	}
	out := make([][]float32, len(tokens))
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.do(func() error {
		s.native.Clear()
		if err := s.native.Decode(b.tokens, b.pos, b.seq, b.uniform, cgo.Sampling{}, b.next); err != nil {
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
