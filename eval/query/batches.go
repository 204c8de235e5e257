package query

import (
	"cmp"
	"slices"

	"steer/ggml/lm"
	"steer/ggml/prefix"
)

// Batches fills batches of at most limit tokens with sequences; one longer than that is a
// batch of its own. Tokens count as the engine lays them out: what sequences of a batch
// begin with alike counts once (package prefix). They come in lexicographic order, so that
// those under a common header are neighbours. The largest batch is the first: running out
// of memory shows at once.
func Batches(seqs []lm.Sequence, limit int) [][]int {
	return groupedBatches(seqs, func(i int) int { return i }, limit)
}

// groupedBatches is batches with the members of a group, which stand in the order of their
// first, kept together if a batch can hold them.
func groupedBatches(seqs []lm.Sequence, group func(i int) int, limit int) [][]int {
	read := make([][]int32, len(seqs))
	for i, q := range seqs {
		read[i] = prefix.Read(q)
	}
	p := packer{read: read, limit: limit}
	for _, members := range groups(read, group) {
		p.put(members)
	}
	p.next()
	slices.SortStableFunc(p.full, func(a, b batch) int { return cmp.Compare(b.tokens, a.tokens) })
	out := make([][]int, len(p.full))
	for i, b := range p.full {
		out[i] = b.members
	}
	return out
}

// groups lists the groups, each in lexicographic order and in that of its first member.
func groups(read [][]int32, group func(i int) int) [][]int {
	order := func(a, b int) int { return cmp.Or(slices.Compare(read[a], read[b]), cmp.Compare(a, b)) }
	var out [][]int
	at := map[int]int{}
	for i := range read {
		k, ok := at[group(i)]
		if !ok {
			k = len(out)
			at[group(i)], out = k, append(out, nil)
		}
		out[k] = append(out[k], i)
	}
	for _, u := range out {
		slices.SortFunc(u, order)
	}
	slices.SortFunc(out, func(a, b []int) int { return order(a[0], b[0]) })
	return out
}

type batch struct {
	members []int
	tokens  int // as they are laid out
}

// packer fills one batch after the other.
type packer struct {
	read    [][]int32
	limit   int
	full    []batch
	members []int // of the batch being filled
	count   prefix.Counter
}

// put adds a group to the batch, or to the next one; one that no batch can hold comes apart.
func (p *packer) put(group []int) {
	if p.take(group) {
		return
	}
	p.next()
	if p.take(group) {
		return
	}
	for k := range group {
		p.put(group[k : k+1])
	}
}

// take adds a group if there is room for it. An empty batch has room for any single sequence.
func (p *packer) take(group []int) bool {
	count := p.count.Clone()
	for _, i := range group {
		count.Add(p.read[i])
	}
	if count.Tokens() > p.limit && len(p.members)+len(group) > 1 {
		return false
	}
	p.count, p.members = count, append(p.members, group...)
	return true
}

// next begins another batch.
func (p *packer) next() {
	if len(p.members) > 0 {
		p.full = append(p.full, batch{p.members, p.count.Tokens()})
	}
	p.members, p.count = nil, prefix.Counter{}
}
