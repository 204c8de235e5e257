package metrics

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
	"steer/rl/data"
)

func TestBestCeilingRefuses(t *testing.T) {
	_, err := bestCeiling([][]int{{0, 3}, {0, 2}}, []int{1, 1}, 5, 1)
	require.ErrorContains(t, err, "one class")
	_, err = bestCeiling(nil, nil, 5, 1)
	require.Error(t, err)
	// No variation between items: alpha has no maximum.
	_, err = bestCeiling([][]int{{5, 5}, {5, 5}, {5, 5}}, []int{1, 1, 1}, 5, 1)
	require.ErrorContains(t, err, "no Dirichlet prior fits")
}

// The published values are those of the Scruples paper's code on the whole dev set.
func TestGoldenBestCeiling(t *testing.T) {
	path := testfiles.Data(t, "scruples/label-counts/dev.scruples-anecdotes_label-counts.json")
	counts, err := data.ReadLabelCounts(path)
	require.NoError(t, err)
	var votes [][]int
	var gold, gold5 []int
	for _, c := range counts {
		l := data.LabelScores{Author: c[0], Other: c[1], Everybody: c[2], Nobody: c[3], Info: c[4]}
		right, wrong, label := l.Binarized()
		votes = append(votes, []int{wrong, right})
		g := 0
		if label == data.LabelRight {
			g = 1
		}
		gold = append(gold, g)
		best := 0
		for k := range c {
			if c[k] > c[best] {
				best = k
			}
		}
		gold5 = append(gold5, best)
	}
	c, err := bestCeiling(votes, gold, 50, 1)
	require.NoError(t, err)
	require.InDelta(t, .427, c.Alpha[0], .0006)
	require.InDelta(t, 1.141, c.Alpha[1], .0006)
	require.InDelta(t, .936, c.Accuracy, .0015)
	require.InDelta(t, .804, c.MCC, .005)

	c, err = bestCeiling(counts, gold5, 50, 1)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{.503, 1.547, .193, .317, .166}, c.Alpha, .0006)
	require.InDelta(t, .882, c.Accuracy, .0015)
	require.InDelta(t, .684, c.MacroF1, .01)
	require.InDelta(t, .734, c.CrossEntropy, .002)
}
