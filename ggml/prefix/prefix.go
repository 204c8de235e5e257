package prefix

import (
	"slices"
	"sort"

	"steer/ggml/lm"
)

// Read is the part of a sequence whose hidden states are read: up to the token before its
// last target, or its last head. What comes behind changes no answer.
func Read(q lm.Sequence) []int32 {
	n := int32(0)
	if k := len(q.Targets); k > 0 {
		n = q.Targets[k-1] // read at the token before
	}
	if k := len(q.Heads); k > 0 {
		n = max(n, q.Heads[k-1]+1)
	}
	return q.Tokens[:n]
}

// Tree is a batch of sequences laid out once. A segment comes after its parent, and its
// tokens lie together.
type Tree struct {
	Tokens  []int32 // [T]
	Pos     []int32 // [T], position of each token in its sequences
	Starts  []int32 // [S+1], first token of each segment, then T
	Parents []int32 // [S], segment that each goes on from; -1: none

	rows [][]int32 // by sequence and position: index into Tokens
}

// New lays out sequences, some of which may be empty.
func New(sequences [][]int32) *Tree {
	t := &Tree{Starts: []int32{0}, rows: make([][]int32, len(sequences))}
	order := make([]int, len(sequences))
	for i := range order {
		order[i] = i
		t.rows[i] = make([]int32, 0, len(sequences[i]))
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(sequences[a], sequences[b]) })
	t.grow(sequences, order, 0, -1)
	return t
}

// grow adds the segments of sequences, in lexicographic order, that have their first depth
// tokens in common: those of the parent's path.
func (t *Tree) grow(sequences [][]int32, order []int, depth int, parent int32) {
	for len(order) > 0 && len(sequences[order[0]]) == depth { // they end here
		order = order[1:]
	}
	for len(order) > 0 {
		id := sequences[order[0]][depth]
		n := sort.Search(len(order), func(i int) bool { return sequences[order[i]][depth] > id })
		branch := order[:n]
		order = order[n:]
		// Between the first and the last in order lie all others.
		first, last := sequences[branch[0]], sequences[branch[n-1]]
		end := depth + Common(first[depth:], last[depth:])
		t.grow(sequences, branch, end, t.add(first[depth:end], branch, depth, parent))
	}
}

// add appends a segment, through which the sequences of branch pass, and returns its index.
func (t *Tree) add(tokens []int32, branch []int, depth int, parent int32) int32 {
	for k, id := range tokens {
		for _, i := range branch {
			t.rows[i] = append(t.rows[i], int32(len(t.Tokens)))
		}
		t.Tokens = append(t.Tokens, id)
		t.Pos = append(t.Pos, int32(depth+k))
	}
	t.Starts = append(t.Starts, int32(len(t.Tokens)))
	t.Parents = append(t.Parents, parent)
	return int32(len(t.Parents) - 1)
}

// Shared tells whether any two sequences share a beginning and then part.
func (t *Tree) Shared() bool {
	return slices.ContainsFunc(t.Parents, func(p int32) bool { return p >= 0 })
}

// Row is the index into Tokens of a sequence's token.
func (t *Tree) Row(sequence int, position int32) int32 { return t.rows[sequence][position] }

// Common is the number of tokens that a and b begin with alike.
func Common(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Counter counts the tokens of a growing batch as a Tree has them. The zero value is an
// empty batch.
type Counter struct {
	sorted [][]int32
	tokens int
}

// Add puts a sequence into the batch.
func (c *Counter) Add(tokens []int32) {
	at, _ := slices.BinarySearchFunc(c.sorted, tokens, slices.Compare[[]int32])
	there := 0 // of its tokens: what it has in common with a neighbour in order
	if at > 0 {
		there = Common(c.sorted[at-1], tokens)
	}
	if at < len(c.sorted) {
		there = max(there, Common(c.sorted[at], tokens))
	}
	c.sorted = slices.Insert(c.sorted, at, tokens)
	c.tokens += len(tokens) - there
}

// Clone is a copy that grows by itself.
func (c *Counter) Clone() Counter { return Counter{slices.Clone(c.sorted), c.tokens} }

// Tokens is the number of tokens laid out.
func (c *Counter) Tokens() int { return c.tokens }
