package halffloat

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHalfIsExactAndRoundsToEven(t *testing.T) {
	for h := range 1 << 16 {
		f := FromF16(uint16(h))
		if f != f {
			require.True(t, math.IsNaN(float64(FromF16(ToF16(f)))))
			continue
		}
		if got := ToF16(f); got != uint16(h) {
			t.Fatalf("half %#04x -> %g -> %#04x", h, f, got)
		}
	}
	for _, c := range []struct {
		in   float32
		want uint16
	}{
		{1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff},
		{65519.996, 0x7bff}, {65520, 0x7c00}, {1e10, 0x7c00}, {-1e10, 0xfc00}, // overflow
		{1 + 1.0/2048, 0x3c00},    // tie, to even (down)
		{1 + 3.0/2048, 0x3c02},    // tie, to even (up)
		{1 + 1.01/2048, 0x3c01},   // just above the tie
		{1.0 / (1 << 24), 0x0001}, // smallest subnormal
		{1.0 / (1 << 25), 0x0000}, // tie to zero
		{1.5 / (1 << 25), 0x0001}, // above the tie
		{1e-10, 0x0000}, {0, 0x0000}, {1.0 / (1 << 14), 0x0400},
		{0.999755859375 / (1 << 14), 0x0400}, // largest subnormal and a half: carries into the exponent
	} {
		require.Equal(t, c.want, ToF16(c.in), "%g", c.in)
	}
	require.Equal(t, uint16(0x8000), ToF16(float32(math.Copysign(0, -1))))
}

func TestWiden(t *testing.T) {
	out := make([]float32, 2)
	Widen(out, []byte{0x00, 0x3c, 0x00, 0xc0}, FromF16)
	require.Equal(t, []float32{1, -2}, out)
	Widen(out, []byte{0x80, 0x3f, 0x00, 0xc0}, FromBF16)
	require.Equal(t, []float32{1, -2}, out)
	Floats(out, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0})
	require.Equal(t, []float32{1, -2}, out)
}
