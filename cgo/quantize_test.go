package cgo

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Numbers of enum ggml_type, as GGUF files use them.
const (
	typeF32    = 0
	typeF16    = 1
	typeQ4_0   = 2
	typeQ4_1   = 3
	typeQ5_0   = 6
	typeQ5_1   = 7
	typeQ8_0   = 8
	typeQ2K    = 10
	typeQ3K    = 11
	typeQ4K    = 12
	typeQ5K    = 13
	typeQ6K    = 14
	typeIQ2XXS = 16
	typeI32    = 26
	typeBF16   = 30
)

// Every type a model may come in survives a round trip with the error of its bits:
// rms error over rms of normally distributed weights.
func TestQuantizeRoundTrip(t *testing.T) {
	const rows, n = 8, 512
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, rows*n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	for _, c := range []struct {
		name           string
		typ            uint32
		elements, size int // of a block
		tol            float64
	}{
		{"F32", typeF32, 1, 4, 0},
		{"F16", typeF16, 1, 2, 3e-4},
		{"BF16", typeBF16, 1, 2, 3e-3},
		{"Q8_0", typeQ8_0, 32, 34, 0.006},
		{"Q6_K", typeQ6K, 256, 210, 0.02},
		{"Q5_K", typeQ5K, 256, 176, 0.04},
		{"Q5_1", typeQ5_1, 32, 24, 0.04},
		{"Q5_0", typeQ5_0, 32, 22, 0.05},
		{"Q4_K", typeQ4K, 256, 144, 0.08},
		{"Q4_1", typeQ4_1, 32, 20, 0.09},
		{"Q4_0", typeQ4_0, 32, 18, 0.1},
		{"Q3_K", typeQ3K, 256, 110, 0.16},
		{"Q2_K", typeQ2K, 256, 84, 0.33},
	} {
		q, err := Quantize(c.typ, x, n)
		require.NoError(t, err, c.name)
		require.Len(t, q, rows*n/c.elements*c.size, c.name)
		y, err := Dequantize(c.typ, q, rows, n)
		require.NoError(t, err, c.name)
		var diff, size float64
		for i := range x {
			diff += float64(x[i]-y[i]) * float64(x[i]-y[i])
			size += float64(x[i]) * float64(x[i])
		}
		e := math.Sqrt(diff / size)
		t.Logf("%s: relative error %.2g", c.name, e)
		require.LessOrEqual(t, e, c.tol, c.name)
	}
}

func TestQuantizeRefuses(t *testing.T) {
	x := make([]float32, 512)
	for _, c := range []struct {
		name string
		typ  uint32
		src  []float32
		row  int
		want string
	}{
		{"a row that is no whole block", typeQ4K, x, 128, "multiple of 256"},
		{"no rows", typeQ8_0, nil, 32, "no whole rows"},
		{"half a row", typeQ8_0, x, 384, "no whole rows"},
		{"an unknown type", 9999, x, 256, "no tensor type number 9999"},
		{"a withdrawn type", 4, x, 256, "no tensor type number 4"},
		{"integers", typeI32, x, 256, "not a type for weights"},
		{"a type that needs an importance matrix", typeIQ2XXS, x, 256, "iq2_xxs"},
		{"NaN", typeQ8_0, append([]float32{float32(math.NaN())}, x[1:]...), 256, "value 0 is not a finite number"},
		{"infinity", typeF16, append(append([]float32{}, x[1:]...), float32(math.Inf(1))), 256,
			"value 511 is not a finite number"},
	} {
		_, err := Quantize(c.typ, c.src, c.row)
		require.ErrorContains(t, err, c.want, c.name)
	}
	_, err := Dequantize(typeQ8_0, make([]byte, 33), 1, 32)
	require.ErrorContains(t, err, "take 34 bytes, got 33")
	_, err = Dequantize(typeQ8_0, nil, -1, 32)
	require.ErrorContains(t, err, "-1 rows")
}
