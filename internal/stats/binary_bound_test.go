package stats

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Perfect and perfectly wrong classifiers of any balance stay within [-1, 1].
func TestMCCIsBounded(t *testing.T) {
	for a := 1; a < 200; a++ {
		for b := 1; b < 40; b++ {
			right, _ := Binary{TP: a, TN: b}.MCC()
			wrong, _ := Binary{FP: a, FN: b}.MCC()
			require.LessOrEqual(t, right, 1.0)
			require.GreaterOrEqual(t, wrong, -1.0)
			require.InDelta(t, 1, right, 1e-12)
			require.InDelta(t, -1, wrong, 1e-12)
		}
	}
}
