package query

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/crash"
)

func TestInParallelIsALoop(t *testing.T) {
	require.NoError(t, inParallel(0, func(int) error { return errors.New("never called") }))

	square := make([]int, 1000)
	require.NoError(t, inParallel(len(square), func(i int) error { square[i] = i * i; return nil }))
	for i, s := range square {
		require.Equal(t, i*i, s)
	}

	// Whoever is first to fail, the error is that of the lowest index.
	for range 50 {
		err := inParallel(1000, func(i int) error {
			if i >= 100 {
				return fmt.Errorf("item %d", i)
			}
			return nil
		})
		require.EqualError(t, err, "item 100")
	}
}

// A panic of a worker is one of the caller, with the stack of where it happened.
func TestInParallelPanicsOnTheCallersGoroutine(t *testing.T) {
	p := crash.Catch(func() {
		_ = inParallel(100, func(i int) error {
			if i == 7 {
				panic("item 7")
			}
			return nil
		})
	})
	require.EqualError(t, p, "item 7")
	require.Contains(t, string(p.Stack), "TestInParallelPanicsOnTheCallersGoroutine.func")
}
