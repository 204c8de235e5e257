package query

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The estimate against the exact divergence of small distributions, where ranks are distinct.
func TestBestOfKL(t *testing.T) {
	require.InDelta(t, math.Log(4)-0.75, BestOfClosedKL(4), 1e-15)
	require.InDelta(t, BestOfClosedKL(4), BestOfKL(4, 1e-12), 1e-9)
	require.Equal(t, BestOfClosedKL(4), BestOfKL(4, 0), "a probability below what a float64 holds")
	require.Zero(t, BestOfKL(4, 1))

	// Two answers of ½ each, n = 2: the better one has 3/4. Exact: ¾ log(3/2) + ¼ log(1/2).
	exact := 0.75*math.Log(1.5) + 0.25*math.Log(0.5)
	require.Less(t, exact, BestOfClosedKL(2))

	rng := rand.New(rand.NewPCG(1, 2))
	for _, answers := range []int{3, 10, 200, 5000} {
		for _, n := range []int{2, 4, 16} {
			p := make([]float64, answers) // in the order of their scores
			total := 0.0
			for i := range p {
				p[i] = rng.ExpFloat64()
				total += p[i]
			}
			exact, estimate, below := 0.0, 0.0, 0.0
			for i := range p {
				p[i] /= total
				best := math.Pow(below+p[i], float64(n)) - math.Pow(below, float64(n))
				if best > 0 {
					exact += best * math.Log(best/p[i])
				}
				estimate += best * BestOfKL(n, p[i])
				below += p[i]
			}
			require.LessOrEqual(t, exact, BestOfClosedKL(n)+1e-9, "the closed form bounds it")
			require.LessOrEqual(t, estimate, BestOfClosedKL(n)+1e-9)
			off, bound := math.Abs(estimate-exact), math.Abs(BestOfClosedKL(n)-exact)
			require.LessOrEqual(t, off, bound+1e-9, "%d answers, n %d: exact %g, estimate %g, bound %g", answers, n,
				exact, estimate, BestOfClosedKL(n))
			if answers == 5000 {
				require.InDelta(t, exact, estimate, 0.01)
			}
		}
	}
}
