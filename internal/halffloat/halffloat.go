package halffloat

import (
	"encoding/binary"
	"math"
)

// FromF16 widens an IEEE 754 half-precision number; exact for every input.
func FromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	man := uint32(h & 0x3ff)
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
	default: // subnormal: man * 2^-24, exact in float32
		f := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
}

// ToF16 rounds to the nearest half-precision number, ties to even;
// magnitudes from 65520 on become infinite, NaN stays NaN.
func ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	exp := int(b>>23) & 0xff
	man := b & 0x7fffff
	if exp == 0xff {
		if man == 0 {
			return sign | 0x7c00
		}
		// Quiet bit set, so that the payload cannot be rounded away to infinity.
		return sign | 0x7e00 | uint16(man>>13)
	}
	e := exp - 127 + 15
	shift := uint(13)
	if e <= 0 {
		// Subnormal half: the implicit one becomes a stored bit and moves right.
		if e < -10 {
			return sign
		}
		man |= 0x800000
		shift = uint(14 - e)
		e = 0
	}
	v := uint32(e)<<10 + man>>shift
	rest := man & (1<<shift - 1)
	half := uint32(1) << (shift - 1)
	if rest > half || rest == half && v&1 == 1 {
		v++ // a carry runs into the exponent, which is the right answer
	}
	if v >= 0x7c00 {
		v = 0x7c00
	}
	return sign | uint16(v)
}

// FromBF16 widens a bfloat16; exact for every input.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds to the nearest bfloat16, ties to even; NaN stays NaN.
func ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 { // quiet bit set, so that the payload cannot be rounded away to infinity
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Widen fills out from little-endian numbers of two bytes each, by FromF16 or FromBF16.
func Widen(out []float32, raw []byte, from func(uint16) float32) {
	for i := range out {
		out[i] = from(binary.LittleEndian.Uint16(raw[2*i:]))
	}
}

// Floats fills out from little-endian float32.
func Floats(out []float32, raw []byte) {
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
}
