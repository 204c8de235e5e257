package ggml

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// dropoutStep trains a whole adapter with dropout on a tiny model. Which mask belongs
// to which seed is pinned bit for bit by TestFiniteDifferences/dropout.
func dropoutStep(t testing.TB, p float32) *Step {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, adapter.Targets(), 5, true), true)
	return step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true, Precision: F32, Dropout: p})
}

func TestDropoutFollowsItsSeed(t *testing.T) {
	s := dropoutStep(t, 0.3)
	batch := raggedBatch(3, tinyShape.Vocab, false, 12, 8)
	drop := lm.Options{Dropout: true}
	first := forward(t, s, batch, drop)
	require.Equal(t, first, forward(t, s, batch, drop), "the same seed is the same mask")

	other := []lm.Sequence{batch[0], batch[1]}
	other[1].DropoutSeed++
	changed := forward(t, s, other, drop)
	require.Equal(t, first.Logprobs[0], changed.Logprobs[0], "another sequence's seed changes nothing")
	require.NotEqual(t, first.Logprobs[1], changed.Logprobs[1], "neighbouring seeds are different masks")

	without := forward(t, s, batch, lm.Options{})
	require.NotEqual(t, first.Logprobs, without.Logprobs, "dropout is off unless asked for")
}

func TestDropoutOfZeroIsNone(t *testing.T) {
	s := dropoutStep(t, 0)
	batch := raggedBatch(3, tinyShape.Vocab, false, 12)
	require.Equal(t, forward(t, s, batch, lm.Options{}), forward(t, s, batch, lm.Options{Dropout: true}))
}

// Only the trained adapter drops out; an evaluation stack never does.
func TestDropoutNeedsATrainedAdapter(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, adapter.Targets(), 5, false), false)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Precision: F32, Dropout: 0.5})
	batch := raggedBatch(3, tinyShape.Vocab, false, 12)
	require.Equal(t, forward(t, s, batch, lm.Options{}), forward(t, s, batch, lm.Options{Dropout: true}))
}

// Kept features are scaled by 1/(1-p), so that the pair's product is right on
// average. One linear pair feeding the head makes that average visible: the scalar
// is w·(x + s B A drop(x)) up to the norm, which a nearly zero B makes linear.
func TestDropoutIsRightOnAverage(t *testing.T) {
	const p, n = 0.4, 3000
	m := openTiny(t, tiny(t, gguftest.Shape{Layers: 1, Embd: 16, FF: 32, Heads: 2, KVHeads: 2, Vocab: 20, Ctx: 64},
		gguftest.Options{}))
	a := randomAdapter(t, m, []string{"ffn_down"}, 5, true)
	for i := range a.Pairs[0].B {
		a.Pairs[0].B[i] *= 0.05
	}
	l := live(t, m, a, true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true, Precision: F32, Dropout: p})
	off := step(t, m,
		StepOptions{Precision: F32, Adapters: []*Adapter{live(t, m, &adapter.Adapter{Arch: "llama", Head: a.Head},
			false)}})

	q := lm.Sequence{Tokens: []int32{7}, Heads: []int32{0}}
	base := float64(forward(t, off, []lm.Sequence{q}, lm.Options{}).Heads[0][0])
	whole := float64(forward(t, s, []lm.Sequence{q}, lm.Options{}).Heads[0][0]) - base
	require.Greater(t, math.Abs(whole), 1e-4, "the pair must matter for this test to mean anything")

	batch := make([]lm.Sequence, n)
	for i := range batch {
		batch[i] = q
		batch[i].DropoutSeed = uint64(i)
	}
	out := forward(t, s, batch, lm.Options{Dropout: true})
	var sum, squares float64
	distinct := map[float32]bool{}
	for _, h := range out.Heads {
		d := float64(h[0]) - base
		sum += d
		squares += d * d
		distinct[h[0]] = true
	}
	mean := sum / n
	deviation := math.Sqrt((squares/n - mean*mean) / n)
	t.Logf("contribution %.6f without dropout, mean of %d masks %.6f ± %.6f", whole, n, mean, deviation)
	require.InDelta(t, whole, mean, 4*deviation+0.02*math.Abs(whole))
	require.Greater(t, len(distinct), n*9/10, "consecutive seeds must be different masks")
}

// Two pairs that read the same input, and two features, have masks of their own: the
// shares of kept and the agreement of two masks are those of independent coins.
func TestDropoutMasksAreIndependent(t *testing.T) {
	const p, tokens, features = 0.25, 2000, 64
	ones := make([]float64, features)
	for i := range ones {
		ones[i] = 1
	}
	mask := func(seed uint64, pos, site int) []float64 { return dropped(ones, p, seed, pos, site) }
	kept := func(x []float64) (n float64) {
		for _, v := range x {
			if v != 0 {
				n++
			}
		}
		return n
	}
	var share float64
	var both [3]float64 // agreement with the mask of the next site, position, seed
	for pos := range tokens {
		a := mask(9, pos, 0)
		share += kept(a)
		for k, b := range [][]float64{mask(9, pos, 1), mask(9, pos+1, 0), mask(10, pos, 0)} {
			for i := range a {
				if a[i] != 0 && b[i] != 0 {
					both[k]++
				}
			}
		}
	}
	n := float64(tokens * features)
	sigma := 1 / (2 * math.Sqrt(n))
	require.InDelta(t, 1-p, share/n, 5*sigma)
	for k, what := range []string{"site", "position", "seed"} {
		require.InDelta(t, (1-p)*(1-p), both[k]/n, 5*sigma, "masks of the next %s", what)
	}
}
