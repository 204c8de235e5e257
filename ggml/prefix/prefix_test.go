package prefix

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
)

func TestTreeOfTwoAnswers(t *testing.T) {
	tree := New([][]int32{{5, 6, 7, 9}, {5, 6, 7, 8, 1}, {4}})
	require.Equal(t, &Tree{
		Tokens: []int32{4, 5, 6, 7, 8, 1, 9}, Pos: []int32{0, 0, 1, 2, 3, 4, 3},
		Starts: []int32{0, 1, 4, 6, 7}, Parents: []int32{-1, -1, 1, 1},
		rows: [][]int32{{1, 2, 3, 6}, {1, 2, 3, 4, 5}, {0}},
	}, tree)
	require.True(t, tree.Shared())
}

// Nothing in common, or everything: no segment has a parent.
func TestTreeWithoutBranches(t *testing.T) {
	for _, sequences := range [][][]int32{{{1, 2}, {2, 2}, {3}}, {{7, 8}, {7, 8}, {7, 8}}, {{}, {4, 4}}} {
		require.False(t, New(sequences).Shared(), "%v", sequences)
	}
	require.Equal(t, []int32{7, 8}, New([][]int32{{7, 8}, {7, 8}}).Tokens)
	require.Empty(t, New([][]int32{{}, {}}).Tokens)
}

// One sequence that is the beginning of another ends with a segment.
func TestTreeOfABeginning(t *testing.T) {
	tree := New([][]int32{{1, 2, 3}, {1, 2}})
	require.Equal(t, []int32{0, 2, 3}, tree.Starts)
	require.Equal(t, []int32{-1, 0}, tree.Parents)
	require.Equal(t, tree.Row(0, 1), tree.Row(1, 1))
}

// randomSequences draws from few tokens, with copies and beginnings of one another.
func randomSequences(rng *rand.Rand) [][]int32 {
	out := make([][]int32, 1+rng.IntN(12))
	for i := range out {
		if i > 0 && rng.IntN(2) == 0 {
			other := out[rng.IntN(i)]
			out[i] = append(out[i], other[:rng.IntN(len(other)+1)]...)
		}
		for range rng.IntN(6) {
			out[i] = append(out[i], int32(rng.IntN(3)))
		}
	}
	return out
}

// Whatever the batch: each sequence is found again along its path, no two places hold the
// same beginning, and the counter says what the tree has.
func TestTreeProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		sequences := randomSequences(rng)
		tree := New(sequences)
		counter := Counter{}
		beginnings := map[string]int32{}
		for i, q := range sequences {
			counter.Add(q)
			require.Len(t, tree.rows[i], len(q))
			for p, id := range q {
				row := tree.Row(i, int32(p))
				require.Equal(t, id, tree.Tokens[row])
				require.Equal(t, int32(p), tree.Pos[row])
				beginning := key(q[:p+1])
				if known, ok := beginnings[beginning]; ok {
					require.Equal(t, known, row)
				}
				beginnings[beginning] = row
			}
		}
		require.Len(t, tree.Tokens, len(beginnings), "every beginning is there once: %v", sequences)
		require.Equal(t, len(tree.Tokens), counter.Tokens())
		checkSegments(t, tree)
	}
}

func key(tokens []int32) string {
	b := make([]byte, len(tokens))
	for i, id := range tokens {
		b[i] = byte(id)
	}
	return string(b)
}

// checkSegments follows every segment up to its root.
func checkSegments(t *testing.T, tree *Tree) {
	require.Equal(t, len(tree.Starts), len(tree.Parents)+1)
	require.EqualValues(t, len(tree.Tokens), tree.Starts[len(tree.Parents)])
	for s, parent := range tree.Parents {
		require.Less(t, tree.Starts[s], tree.Starts[s+1], "no segment is empty")
		require.Less(t, int(parent), s, "a parent comes first")
		at := int32(0)
		if parent >= 0 {
			at = tree.Pos[tree.Starts[parent+1]-1] + 1
		}
		for _, p := range tree.Pos[tree.Starts[s]:tree.Starts[s+1]] {
			require.Equal(t, at, p)
			at++
		}
	}
}

func TestClonesGrowByThemselves(t *testing.T) {
	var c Counter
	for _, id := range []int32{2, 4, 6} {
		c.Add([]int32{id, id})
	}
	c.sorted = append(make([][]int32, 0, 16), c.sorted...) // room to grow into
	d := c.Clone()
	d.Add([]int32{1, 1})
	d.Add([]int32{3, 3})
	require.Equal(t, 10, d.Tokens())
	c.Add([]int32{6, 6})
	c.Add([]int32{2, 2})
	require.Equal(t, 6, c.Tokens())
	require.Equal(t, 10, d.Tokens())
}

func TestRead(t *testing.T) {
	q := lm.Sequence{Tokens: []int32{1, 2, 3, 4}}
	require.Empty(t, Read(q))
	q.Targets = []int32{1, 3}
	require.Equal(t, []int32{1, 2, 3}, Read(q), "the last target's own token is not read")
	q.Heads = []int32{0}
	require.Len(t, Read(q), 3)
	q.Heads = []int32{3}
	require.Len(t, Read(q), 4)
}
