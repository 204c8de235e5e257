package train

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/internal/seed"
)

// Every pass takes each item once, in the order that the seed of its use gives; a part of the
// sequence does not depend on what was asked for before.
func TestOrder(t *testing.T) {
	o := NewOrder(4, true, 7, "x.shuffle")
	first, second := seed.Permutation(4, 7, "x.shuffle", 0), seed.Permutation(4, 7, "x.shuffle", 1)
	require.Equal(t, append(append([]int{}, first...), second...), o.Span(0, 8))
	require.Equal(t, []int{first[3], second[0]}, NewOrder(4, true, 7, "x.shuffle").Span(3, 5))
	require.Equal(t, first[2], o.At(2), "backward too")
	require.Equal(t, []int{3, 0, 1}, NewOrder(4, false, 7, "x.shuffle").Span(3, 6))
}

func TestPositionsAndUpdates(t *testing.T) {
	b := Batches{MiniBatchSize: 4}
	require.Equal(t, int64(5), b.Updates(9, 2), "18 items in fours")
	from, to := b.Positions(4, 9, 2)
	require.Equal(t, [2]int64{16, 18}, [2]int64{from, to}, "the last has what is left")
	require.Equal(t, 2.0, b.Passed(9, 18))
	b.MaxSteps = 7
	require.Equal(t, int64(7), b.Updates(9, 2))
	from, to = b.Positions(4, 9, 2)
	require.Equal(t, [2]int64{16, 20}, [2]int64{from, to}, "goes on as long as there are steps")
	require.Equal(t, 30, Batches{MicroBatchSize: 3}.PassTokens(10))
	require.Equal(t, 99, Batches{MicroBatchTokens: 99}.PassTokens(10))
}

func TestSplitKeepsItemsWhole(t *testing.T) {
	item := func(lengths ...int) (out Item) {
		for _, n := range lengths {
			out = append(out, lm.Sequence{Tokens: make([]int32, n)})
		}
		return out
	}
	items := []Item{item(2, 3), item(4), item(9, 9), item(1)}
	require.Equal(t, int64(18), items[2].Tokens())
	sizes := func(b Batches) (out [][]int) {
		for _, pass := range b.Split(items) {
			var lengths []int
			for _, s := range flat(pass) {
				lengths = append(lengths, len(s.Tokens))
			}
			out = append(out, lengths)
		}
		return out
	}
	require.Equal(t, [][]int{{2, 3, 4}, {9, 9, 1}}, sizes(Batches{MicroBatchSize: 2}))
	require.Equal(t, [][]int{{2, 3, 4}, {9, 9}, {1}}, sizes(Batches{MicroBatchTokens: 9}))
	require.Equal(t, [][]int{{2, 3}, {4}, {9, 9}, {1}}, sizes(Batches{MicroBatchTokens: 1}))
	require.Empty(t, Batches{MicroBatchTokens: 1}.Split(nil))
}

func TestEvery(t *testing.T) {
	for _, e := range []Every{{0, 10}, {3, 10}, {5, 10}, {20, 10}} {
		for done := range int64(12) {
			due := int64(0)
			for r := done + 1; r <= e.Rounds; r++ {
				if e.Due(r) {
					due++
				}
			}
			require.Equal(t, due, e.Left(done), "%+v after %d", e, done)
		}
	}
}

func TestChecksTellAll(t *testing.T) {
	c := NewChecks("x")
	c.Enum("preset", PresetThesis)
	c.AtLeast("epochs", 0, 0)
	c.Number("centre", 0, true, "at least 0")
	c.Error(nil)
	require.NoError(t, c.Err())
	c.Enum("preset", Preset("best"))
	c.AtLeast("epochs", -1, 0)
	c.Number("centre", math.Inf(1), true, "at least 0")
	c.Error(errors.New("lora.rank: no"))
	Batches{MicroBatchSize: 1, MicroBatchTokens: 1, MiniBatchSize: 1}.Check(c)
	Batches{MiniBatchSize: 4, MicroBatchSize: 3, MaxSteps: -1}.Check(c)
	Batches{MiniBatchSize: 4}.Check(c)
	require.EqualError(t, c.Err(), `x: preset: want one of [default thesis], got "best"
x: epochs: want at least 0, got -1
x: centre: want at least 0, got +Inf
x: lora.rank: no
x: micro_batch_size 1 and micro_batch_tokens 1: set one of them to 0
x: mini_batch_size 4 does not divide by micro_batch_size 3: choose one of [1 2 4]
x: max_steps: want at least 0, got -1
x: micro_batch_size or micro_batch_tokens: want one of them to be at least 1`)
}

func TestPresets(t *testing.T) {
	p := Presets[int]{PresetDefault: func() int { return 1 }}
	for _, name := range []Preset{"", PresetDefault} {
		got, err := p.New("dpo", name)
		require.NoError(t, err)
		require.Equal(t, 1, got)
	}
	_, err := p.New("dpo", PresetThesis)
	require.EqualError(t, err, `dpo: preset "thesis": want one of [default]`)
}

func TestAPassCountsWholeItems(t *testing.T) {
	p := Deps{}.PassOver("held-out pairs", []int{2, 1, 2})
	require.Equal(t, 0, p.Read(1))
	require.Equal(t, 2, p.Read(3))
	require.Equal(t, 3, p.Read(5))
}
