package rollout

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomRow(rng *rand.Rand, n int, sd float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64() * sd
	}
	return x
}

func TestTokenKLByHand(t *testing.T) {
	// d = -0.5 - (-1.5) = 1
	require.InDelta(t, 1, TokenKL(KLK1, -0.5, -1.5), 1e-15)
	require.InDelta(t, -1, TokenKL(KLK1, -1.5, -0.5), 1e-15)
	require.InDelta(t, 1, TokenKL(KLAbs, -1.5, -0.5), 1e-15)
	require.InDelta(t, 0.5, TokenKL(KLMSE, -1.5, -0.5), 1e-15)
	require.InDelta(t, math.Exp(-1), TokenKL(KLK3, -0.5, -1.5), 1e-15) // e^-1 - 1 + 1
	require.Panics(t, func() { TokenKL(KLFull, 0, 0) })

	half := math.Log(0.5)
	// π = (1/2, 1/2), ref = (1/4, 3/4): ½ ln 2 + ½ ln(2/3)
	require.InDelta(t, 0.5*math.Log(2)+0.5*math.Log(2.0/3),
		FullKL([]float64{half, half}, []float64{math.Log(0.25), math.Log(0.75)}), 1e-15)
	require.InDelta(t, math.Log(2), FullKL([]float64{0, math.Inf(-1)}, []float64{half, half}), 1e-15)
}

func TestKLEstimatorsAgainstTheFullSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		p, q := logSoftmax(randomRow(rng, 6, 1)), logSoftmax(randomRow(rng, 6, 1))
		var k1, k3 float64 // expectations under p
		for v := range p {
			k := TokenKL(KLK3, p[v], q[v])
			require.GreaterOrEqual(t, k, 0.0)
			k1 += math.Exp(p[v]) * TokenKL(KLK1, p[v], q[v])
			k3 += math.Exp(p[v]) * k
		}
		require.InDelta(t, FullKL(p, q), k1, 1e-12)
		require.InDelta(t, FullKL(p, q), k3, 1e-12)
		require.GreaterOrEqual(t, k1, 0.0)
	}
}

func logSoftmax(x []float64) []float64 {
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - math.Log(sum)
	}
	return out
}
