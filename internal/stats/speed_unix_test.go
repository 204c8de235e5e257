//go:build unix

package stats

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// processorTime is what the process has used of all processors. A busy machine does not
// change it.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Ten thousand resamples of 2,500 items under six models, differences and intervals of
// all pairs included, take two seconds at most, of one processor even.
func TestTenThousandResamplesInTwoSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("short: nothing is timed")
	}
	gold, preds := randomLabels(2500, 6, .6)
	src, _ := NewSeeded(2500, 1)
	start := processorTime(t)
	boots, err := BootstrapBinary(gold, preds, MetricMCC, src, 10000)
	require.NoError(t, err)
	for i := range boots {
		for j := range i {
			d, err := boots[i].Minus(boots[j])
			require.NoError(t, err)
			d.BCa(0.95)
		}
	}
	took := processorTime(t) - start
	t.Logf("%v", took)
	require.Less(t, took, 2*time.Second)
}
