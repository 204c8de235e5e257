package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCalibrate(t *testing.T) {
	// Two bins of two: (.5, .7) with one right, (.9, .9) with both.
	c, err := Calibrate([]float64{.9, .5, .9, .7}, []bool{true, false, true, true}, 2)
	require.NoError(t, err)
	require.Equal(t, 4, c.N)
	require.Len(t, c.Bins, 2)
	require.InDelta(t, .6, c.Bins[0].Confidence, 1e-12)
	require.InDelta(t, .5, c.Bins[0].Accuracy, 1e-12)
	require.InDelta(t, .9, c.Bins[1].Confidence, 1e-12)
	require.InDelta(t, 1, c.Bins[1].Accuracy, 1e-12)
	require.InDelta(t, (.1*2+.1*2)/4, c.ECE, 1e-12)
	require.InDelta(t, (.01+.25+.01+.09)/4, c.Brier, 1e-12)
	lo, hi := Wilson(1, 2, .95)
	require.Equal(t, []float64{lo, hi}, []float64{c.Bins[0].Lo, c.Bins[0].Hi})

	// Equal confidences share a bin; there are then fewer.
	c, err = Calibrate([]float64{.5, .5, .5, .5, .5}, make([]bool, 5), 3)
	require.NoError(t, err)
	require.Len(t, c.Bins, 1)
	require.Equal(t, 5, c.Bins[0].N)
	// Every item is in one bin, whatever the numbers.
	for n := 1; n < 40; n++ {
		for bins := 1; bins < 12; bins++ {
			p, total := make([]float64, n), 0
			for i := range p {
				p[i] = float64(i) / 40
			}
			c, err := Calibrate(p, make([]bool, n), bins)
			require.NoError(t, err)
			require.LessOrEqual(t, len(c.Bins), bins)
			for _, b := range c.Bins {
				total += b.N
			}
			require.Equal(t, n, total)
		}
	}

	_, err = Calibrate([]float64{1.5}, []bool{true}, 1)
	require.ErrorContains(t, err, "item 0")
	_, err = Calibrate([]float64{math.NaN()}, []bool{true}, 1)
	require.ErrorContains(t, err, "item 0")
	_, err = Calibrate([]float64{1}, nil, 1)
	require.ErrorContains(t, err, "1 confidences but 0")
	_, err = Calibrate(nil, nil, 1)
	require.ErrorContains(t, err, "0 items")
}

func TestSoftmax(t *testing.T) {
	require.InDeltaSlice(t, []float64{.25, .75}, Softmax([]float64{-1000, -1000 + math.Log(3)}), 1e-12)
	require.Empty(t, Softmax(nil))
}
