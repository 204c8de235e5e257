package benchmark

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
)

func TestWindows(t *testing.T) {
	_, err := Window(File{Path: "f", First: 3}, []int{1, 2, 3})
	require.ErrorIs(t, err, eval.ErrNoItems)
	even, err := spread(File{First: 1, Limit: 3}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	require.NoError(t, err)
	require.Equal(t, []int{1, 4, 7}, even)
	for _, limit := range []int{0, 9, 20} {
		even, err = spread(File{First: 1, Limit: limit}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
		require.NoError(t, err)
		require.Len(t, even, 9)
	}
	rows, err := Window(File{First: 1, Limit: 2}, []int{1, 2, 3, 4})
	require.NoError(t, err)
	require.Equal(t, []int{2, 3}, rows)
}
