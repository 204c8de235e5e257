package jobs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/rl/rollout"
)

func TestRatioToleranceOnAGPU(t *testing.T) {
	for _, c := range []struct {
		tolerance, outliers float64
		gpu                 bool
		precision           ggml.Precision
		want, wantOutliers  float64
	}{
		{1e-4, 0, false, ggml.BF16, 1e-4, 0}, {1e-4, 0, true, ggml.F32, 1e-4, 0},
		{1e-4, 0, true, ggml.BF16, gpuRatioTolerance, gpuRatioOutliers},
		{0.7, 0.1, true, ggml.BF16, 0.7, 0.1}, {0, 0, true, ggml.BF16, 0, 0},
	} {
		g := rollout.Guards{RatioTolerance: c.tolerance, RatioOutliers: c.outliers}
		changed := allowRounding(&g, c.gpu, c.precision)
		require.Equal(t, rollout.Guards{RatioTolerance: c.want, RatioOutliers: c.wantOutliers}, g, c)
		require.Equal(t, c.want != c.tolerance || c.wantOutliers != c.outliers, changed, c)
	}
}
