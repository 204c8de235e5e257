package ggml

import (
	"cmp"
	"slices"
)

// libllama computes neighbouring sequences at once as far as they have equally many tokens in
// a batch: prompts of n lengths are n graphs, each built, laid out and launched. A GPU spends
// longer on that than on the tokens. There prompts are made equally long by repeating their
// last token, and what was appended is taken out of the cache again: causal attention shows it
// to none of the prompt's own tokens. Requests begin in the order of their lengths, so that
// neighbours differ little.

// order says in which order requests begin.
func (r *rollout) order() []int {
	order := make([]int, len(r.reqs))
	for i := range order {
		order[i] = i
	}
	if r.aligned {
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Compare(len(r.reqs[a].Prompt), len(r.reqs[b].Prompt))
		})
	}
	return order
}

// collectAligned fills the batch with the unread parts of the prompts of a run of slots, all
// made as long as the longest.
func (r *rollout) collectAligned(b *decodeBatch, room int) {
	unread := func(i int) int { // a last token is decoded beside those of answers
		if sl := &r.slots[i]; sl.reads() && sl.unread() > 1 {
			return sl.unread()
		}
		return 0
	}
	first := 0
	for first < len(r.slots) && unread(first) == 0 {
		first++
	}
	end, length := first, 0
	for ; end < len(r.slots) && unread(end) > 0; end++ {
		longer := max(length, unread(end))
		if end > first && (end+1-first)*longer > room {
			break
		}
		length = longer
	}
	length = min(length, room) // one that is longer than a batch is read in several
	for i := first; i < end; i++ {
		own := min(length, unread(i))
		for range own {
			r.readNext(b, i)
		}
		sl := &r.slots[i]
		for k := own; k < length; k++ {
			b.add(sl.prompt[len(sl.prompt)-1], sl.pos+int32(k-own), i)
			sl.padded = true
		}
	}
}

// trim takes what a prompt was lengthened by out of the cache. It runs on the engine thread.
func (r *rollout) trim() {
	for i := range r.slots {
		if sl := &r.slots[i]; sl.padded {
			r.s.native.Copy(i, i, int(sl.pos))
			sl.padded = false
		}
	}
}
