package ggml

import (
	"math/rand/v2"
	"slices"
)

// Requests that have their prompt in common, as a group of answers to one prompt has, share the
// reading of it. The first of them that gets a slot reads the prompt; those that get theirs before
// it is through wait. After the last token of the prompt a token is drawn for each of them, from
// the same logits by its own random stream, and the keys and values of the prompt are copied to
// all. One that gets its slot later copies the prompt from a slot that still has it, short of the
// last token, which is decoded again beside the tokens of the others. Beginnings that prompts have
// in common are shared alike, and read on from there.
//
// Every slot has a stream of the cache to itself (kv_unified is off: attention then reads whole
// rows in order, and no slot can run into another's room). A fork therefore copies keys and values
// from one stream to another, inside memory that the session has from the start: it needs no more
// than the same requests would without sharing. On the CPU it changes no bit: what a token is
// computed to does not depend on what is computed beside it.

// minShared is the shortest common beginning of two different prompts that is copied from one
// sequence to the other rather than read again, in tokens.
const minShared = 8

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

	if r.s.opt.Unshared {
		r.s.native.Remove(i)
		return
	}
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
		switch n := commonPrefix(sl.prompt, req.Prompt); {
		case !sl.active || soon == len(req.Prompt):
		case sl.unread() > 0 && slices.Equal(sl.prompt, req.Prompt):
			later, soon = k, len(req.Prompt) // and what follows it
		case n > soon:
			later, soon = k, n
		}
	}
	switch {
	case soon == len(req.Prompt), soon >= ready+minShared:
		r.slots[i].wait, r.slots[i].shared = later, soon
		r.s.native.Remove(i)
	case ready >= minShared, from == i && ready > 0: // what a slot keeps costs nothing
		r.share(from, i, ready)
	default:
		r.s.native.Remove(i)
	}
}

// forks are the slots that wait for the whole prompt of slot i, which has been read.
func (r *rollout) forks(i int) (waiting []int) {
	for k := range r.slots {
		if sl := &r.slots[k]; sl.active && sl.wait >= 0 && slices.Equal(sl.prompt, r.slots[i].prompt) {
			waiting = append(waiting, k)
		}
	}
	return waiting
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
