package ggml

import (
	"context"
	"math/rand/v2"
	"strings"

	"steer/cgo"
	"steer/ggml/lm"
)

// minShared is the shortest common beginning of two prompts that is copied from one
// sequence to the other rather than read again, in tokens.
const minShared = 8

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
	wait   int  // slot whose prompt is being read and is then copied; -1: none
	shared int  // tokens to be copied from it
	padded bool // the cache holds more than the prompt: see prefill.go
}

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
// are refilled at once, and a beginning that prompts have in common is read once. On the
// CPU an answer depends on its request alone, to the bit: not on the other requests, their
// order, the number of slots or of threads. On a GPU it does through ggml's arithmetic.
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
		if err := r.s.decode(&b, sp); err != nil {
			return nil, err
		}
		for i, id := range b.next {
			if id < 0 {
				continue
			}
			sl := &r.slots[b.seq[i]]
			sl.active = !r.s.accept(&r.reqs[sl.req], &r.out[sl.req], sl, id)
		}
	}
}

// arrange copies beginnings that have been read to the slots that wait for them, gives
// free slots to requests, and closes gaps: libllama decodes a run of neighbouring
// sequences at once, a gap would cut the batch. It runs on the engine thread.
func (r *rollout) arrange() {
	r.trim()
	waiting := false
	for i := range r.slots {
		sl := &r.slots[i]
		if sl.active && sl.wait >= 0 && r.slots[sl.wait].fed >= sl.shared {
			r.share(sl.wait, i, sl.shared)
		}
		waiting = waiting || sl.active && sl.wait >= 0
	}
	for i := range r.slots {
		for r.next < len(r.reqs) && r.reqs[r.begin[r.next]].MaxNew == 0 {
			r.next++
		}
		if !r.slots[i].active && r.next < len(r.reqs) {
			r.start(i)
			waiting = waiting || r.slots[i].wait >= 0
		}
	}
	if waiting || r.next < len(r.reqs) {
		return
	}
	for hole, last := 0, len(r.slots)-1; ; {
		for hole < last && r.slots[hole].active {
			hole++
		}
		for hole < last && !r.slots[last].active {
			last--
		}
		if hole >= last {
			return
		}
		r.s.native.Copy(last, hole, int(r.slots[last].pos))
		r.slots[hole], r.slots[last] = r.slots[last], slot{wait: -1}
	}
}

// start gives slot i to the next request. The longest beginning of its prompt that some
// slot has in the cache, or is about to have, is not read again.
func (r *rollout) start(i int) {
	req := &r.reqs[r.begin[r.next]]
	old := r.slots[i]
	r.slots[i] = slot{req: r.begin[r.next], rng: rand.New(rand.NewPCG(req.Seed, 0x5eed)), prompt: req.Prompt,
		active: true, wait: -1}
	r.next++

	from, ready := i, commonPrefix(old.prompt[:old.fed], req.Prompt)
	later, soon := -1, 0
	for k := range r.slots {
		sl := &r.slots[k]
		if k == i || sl.prompt == nil {
			continue
		}
		if n := commonPrefix(sl.prompt[:sl.fed], req.Prompt); n > ready {
			from, ready = k, n
		}
		if n := commonPrefix(sl.prompt, req.Prompt); sl.active && n > soon {
			later, soon = k, n
		}
	}
	switch {
	case soon >= ready+minShared:
		r.slots[i].wait, r.slots[i].shared = later, soon
		r.s.native.Remove(i)
	case ready >= minShared:
		r.share(from, i, ready)
	default:
		r.s.native.Remove(i)
	}
}

// share makes the first n prompt tokens of one slot those of another (or keeps them).
func (r *rollout) share(from, to, n int) {
	r.s.native.Copy(from, to, n)
	sl := &r.slots[to]
	sl.fed, sl.pos, sl.wait = n, int32(n), -1
}

// commonPrefix counts the tokens two prompts begin with alike, short of the whole of the
// second: its last token must be decoded for what follows it.
func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b)-1 && a[n] == b[n] {
		n++
	}
	return n
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
func (r *rollout) collect(b *decodeBatch, room int) {
	b.tokens, b.pos, b.seq, b.next, b.uniform = b.tokens[:0], b.pos[:0], b.seq[:0], b.next[:0], b.uniform[:0]
	if r.aligned {
		r.collectAligned(b, room)
	} else {
		for i := range r.slots {
			for sl := &r.slots[i]; sl.active && sl.wait < 0 && sl.fed < len(sl.prompt) && len(b.tokens) < room; {
				r.readNext(b, i)
			}
		}
	}
	if len(b.tokens) > 0 {
		return
	}
	for i := range r.slots {
		if sl := &r.slots[i]; sl.active {
			b.add(sl.last, sl.pos, i, sl.rng.Float64())
			sl.pos++
		}
	}
}

// readNext puts the next token of a slot's prompt into the batch; after the last one a token is drawn.
func (r *rollout) readNext(b *decodeBatch, i int) {
	sl := &r.slots[i]
	uniform := -1.0
	if sl.fed == len(sl.prompt)-1 {
		uniform = sl.rng.Float64()
	}
	b.add(sl.prompt[sl.fed], sl.pos, i, uniform)
	sl.fed++
	sl.pos++
	r.read++
}

func (s *Session) decode(b *decodeBatch, sp lm.Sampling) error {
	return s.do(func() error {
		return s.native.Decode(b.tokens, b.pos, b.seq, b.uniform, cgo.Sampling{Temperature: sp.Temperature,
			TopK: sp.TopK, TopP: sp.TopP, MinP: sp.MinP}, b.next)
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
