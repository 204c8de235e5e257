package stats

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/crash"
)

func TestParallelPanicsOnTheCallersGoroutine(t *testing.T) {
	p := crash.Catch(func() {
		parallel(100, func() func(int) { return func(b int) { _ = []int{}[b] } })
	})
	require.ErrorContains(t, p, "index out of range")
}
