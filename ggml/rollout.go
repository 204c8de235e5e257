package ggml

import (
	"context"
	"math/rand/v2"
	"strings"

	"steer/cgo"
	"steer/ggml/lm"
)

// slot is a sequence of the cache and the request it answers.
type slot struct {
	req    int // index of the request
	rng    *rand.Rand
	prompt []int32
	fed    int   // prompt tokens in the cache
	pos    int32 // next position
	last   int32 // token to be fed next, once the prompt is through
	text   string
	active bool // an inactive slot keeps its prompt's cache until it is used again
	wait   int  // slot whose prompt is being read and is then copied; -1: none: see fork.go
	shared int  // tokens to be copied from it
	padded bool // the cache holds more than the prompt: see prefill.go
}

// unread counts the tokens of the prompt that are not in the cache.
func (sl *slot) unread() int { return len(sl.prompt) - sl.fed }

// reads tells whether the slot's own prompt is to be read further.
func (sl *slot) reads() bool { return sl.active && sl.wait < 0 && sl.unread() > 0 }

// rollout is one call of Generate.
type rollout struct {
	s     *Session
	reqs  []lm.Request
	out   []lm.Generation
	slots []slot
	begin []int // the requests in the order in which they begin
	next  int   // of begin, to be started next
	read  int   // prompt tokens decoded, for tests
	// aligned: prompts read together are made equally long.
	aligned bool
}

// Generate continues every request; see lm.Generator. Slots of finished sequences
// are refilled at once. A prompt that several requests have is read once, and so is a beginning
// that prompts have in common: its keys and values are forked (fork.go), and each answer is drawn
// from its own random stream. On the CPU an answer depends on its request alone, to the bit: not
// on the other requests, their order, the number of slots or of threads. On a GPU it does through
// ggml's arithmetic.
func (s *Session) Generate(ctx context.Context, reqs []lm.Request, sp lm.Sampling) ([]lm.Generation, error) {
	if err := s.check(reqs, sp); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rollout(reqs).run(ctx, sp)
}

func (s *Session) rollout(reqs []lm.Request) *rollout {
	return &rollout{s: s, reqs: reqs, out: make([]lm.Generation, len(reqs)), slots: make([]slot, s.opt.Sequences),
		aligned: s.m.dev.OnGPU()}
}

func (r *rollout) run(ctx context.Context, sp lm.Sampling) ([]lm.Generation, error) {
	for i := range r.reqs {
		if r.reqs[i].MaxNew == 0 {
			r.out[i].Finish = lm.FinishLength
		}
	}
	r.begin = r.order()
	if err := r.s.do(func() error { r.s.native.Clear(); return nil }); err != nil {
		return nil, err
	}
	var b decodeBatch
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.s.do(func() error { r.arrange(); return nil }); err != nil {
			return nil, err
		}
		r.collect(&b, r.s.opt.batch())
		if len(b.tokens) == 0 {
			return r.out, nil
		}
		if err := r.decode(&b, sp); err != nil {
			return nil, err
		}
		for k, id := range b.next {
			sl := &r.slots[b.to[k]]
			sl.active = !r.s.accept(&r.reqs[sl.req], &r.out[sl.req], sl, id)
		}
	}
}

// decodeBatch is the input and output of one native decode call.
type decodeBatch struct {
	tokens, pos, seq []int32
	// Draw k is of a token that follows token after[k] of these, for slot to[k]: next[k].
	after, to, next []int32
	uniform         []float64
}

func (b *decodeBatch) add(token, pos int32, seq int) {
	b.tokens = append(b.tokens, token)
	b.pos = append(b.pos, pos)
	b.seq = append(b.seq, int32(seq))
}

// draw asks for a token that follows the one added last.
func (b *decodeBatch) draw(to int, uniform float64) {
	b.after = append(b.after, int32(len(b.tokens)-1))
	b.to = append(b.to, int32(to))
	b.uniform = append(b.uniform, uniform)
	b.next = append(b.next, -1)
}

func (b *decodeBatch) clear() {
	b.tokens, b.pos, b.seq = b.tokens[:0], b.pos[:0], b.seq[:0]
	b.after, b.to, b.next, b.uniform = b.after[:0], b.to[:0], b.next[:0], b.uniform[:0]
}

// collect fills the batch: while any prompt is unread, prompts only (whole prompts
// first, so that shapes stay few), else one token of every active sequence. What is left of a
// prompt whose beginning was copied is often its last token: that is one, too.
func (r *rollout) collect(b *decodeBatch, room int) {
	b.clear()
	if r.aligned {
		r.collectAligned(b, room)
	} else {
		for i := range r.slots {
			if sl := &r.slots[i]; sl.reads() && sl.unread() > 1 {
				for sl.unread() > 0 && len(b.tokens) < room {
					r.readNext(b, i)
				}
			}
		}
	}
	if len(b.tokens) > 0 {
		return
	}
	for i := range r.slots {
		switch sl := &r.slots[i]; {
		case sl.reads():
			r.readNext(b, i)
		case sl.active && sl.wait < 0:
			b.add(sl.last, sl.pos, i)
			b.draw(i, sl.rng.Float64())
			sl.pos++
		}
	}
}

// readNext puts the next token of a slot's prompt into the batch. What follows the last one is drawn, for this
// slot and for all that wait for the same prompt.
func (r *rollout) readNext(b *decodeBatch, i int) {
	sl := &r.slots[i]
	b.add(sl.prompt[sl.fed], sl.pos, i)
	sl.fed++
	sl.pos++
	r.read++
	if sl.unread() == 0 {
		b.draw(i, sl.rng.Float64())
		for _, k := range r.forks(i) {
			b.draw(k, r.slots[k].rng.Float64())
		}
	}
}

// decode computes the batch and forks the prompts that were read for several slots.
func (r *rollout) decode(b *decodeBatch, sp lm.Sampling) error {
	return r.s.do(func() error {
		err := r.s.native.Decode(b.tokens, b.pos, b.seq, b.after, b.uniform, cgo.Sampling{Temperature: sp.Temperature,
			TopK: sp.TopK, TopP: sp.TopP, MinP: sp.MinP}, b.next)
		if err != nil {
			return err
		}
		for k, after := range b.after {
			if from, to := int(b.seq[after]), int(b.to[k]); from != to {
				r.share(from, to, len(r.slots[to].prompt))
			}
		}
		return nil
	})
}

// accept appends a drawn token to its answer and tells whether that ends it.
func (s *Session) accept(r *lm.Request, g *lm.Generation, sl *slot, id int32) bool {
	g.Tokens = append(g.Tokens, id)
	sl.last = id
	if r.OnToken != nil {
		r.OnToken(id)
	}
	for _, stop := range r.StopTokens {
		if id == stop {
			g.Finish = lm.FinishStopToken
			return true
		}
	}
	if len(r.StopStrings) > 0 {
		before := len(sl.text)
		sl.text += s.piece(id)
		for _, stop := range r.StopStrings {
			if strings.Contains(sl.text[max(0, before-len(stop)+1):], stop) {
				g.Finish = lm.FinishStopString
				return true
			}
		}
	}
	if len(g.Tokens) >= r.MaxNew {
		g.Finish = lm.FinishLength
		return true
	}
	return false
}

// piece is a token's text, asked of libllama once.
func (s *Session) piece(id int32) string {
	text, known := s.pieces[id]
	if !known {
		text = s.m.Tokenizer().Decode([]int32{id}, true)
		s.pieces[id] = text
	}
	return text
}
