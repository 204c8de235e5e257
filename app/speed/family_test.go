package speed

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Random weights in the shape of a family train.
func TestEveryFamilyIsMeasured(t *testing.T) {
	dir := t.TempDir()
	for _, arch := range Families() {
		path, err := Synthetic(dir, "tiny", "q8_0", arch)
		require.NoError(t, err, arch)
		s := Default(JobTrain)
		s.Model, s.Steps, s.Warmup, s.Batch, s.Tokens = path, 1, 0, 2, 16
		r, err := Measure(context.Background(), s)
		require.NoError(t, err, arch)
		require.Positive(t, r.GFLOPS.Median, arch)
	}
	_, err := Synthetic(dir, "tiny", "q8_0", "bert")
	require.ErrorContains(t, err, `family "bert": want one of llama, qwen2`)
}
