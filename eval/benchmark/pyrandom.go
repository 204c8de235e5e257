package benchmark

import (
	"crypto/sha512"
	"encoding/binary"
	"slices"
)

// pythonRandom is the generator of Python's random module: MT19937 (Matsumoto,
// Nishimura 1998). The harness shuffles scenarios with random.Random(text), which
// has to be repeated draw by draw.
type pythonRandom struct {
	state [624]uint32
	at    int
}

// newPythonRandom is random.Random(text): the seed is the big-endian integer of
// utf8(text) || sha512(utf8(text)), fed as 32-bit words, least significant first,
// to init_by_array.
func newPythonRandom(text string) *pythonRandom {
	sum := sha512.Sum512([]byte(text))
	b := slices.Concat([]byte(text), sum[:])
	for len(b) > 1 && b[0] == 0 { // words come from the integer, without leading zeros
		b = b[1:]
	}
	slices.Reverse(b)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	key := make([]uint32, len(b)/4)
	for i := range key {
		key[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	r := &pythonRandom{}
	r.initByArray(key)
	return r
}

func (r *pythonRandom) initGenrand(s uint32) {
	r.state[0] = s
	for i := 1; i < len(r.state); i++ {
		s = 1812433253*(s^s>>30) + uint32(i)
		r.state[i] = s
	}
	r.at = len(r.state)
}

func (r *pythonRandom) initByArray(key []uint32) {
	const n = 624
	mt := &r.state
	r.initGenrand(19650218)
	i, j := 1, 0
	next := func() {
		if i++; i >= n {
			mt[0], i = mt[n-1], 1
		}
	}
	for range max(n, len(key)) {
		mt[i] = (mt[i] ^ (mt[i-1]^mt[i-1]>>30)*1664525) + key[j] + uint32(j)
		next()
		if j++; j >= len(key) {
			j = 0
		}
	}
	for range n - 1 {
		mt[i] = (mt[i] ^ (mt[i-1]^mt[i-1]>>30)*1566083941) - uint32(i)
		next()
	}
	mt[0] = 1 << 31
}

// uint32 is the next 32-bit output.
func (r *pythonRandom) uint32() uint32 {
	const n, m = 624, 397
	mt := &r.state
	if r.at >= n {
		for k := range n {
			y := mt[k]&(1<<31) | mt[(k+1)%n]&(1<<31-1)
			mt[k] = mt[(k+m)%n] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		r.at = 0
	}
	y := mt[r.at]
	r.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// below is Random._randbelow for 1 <= n < 2^32: bit_length(n) bits until below n.
func (r *pythonRandom) below(n int) int {
	bits := 0
	for v := n; v > 0; v >>= 1 {
		bits++
	}
	for {
		if v := int(r.uint32() >> (32 - bits)); v < n {
			return v
		}
	}
}

// shuffle is Random.shuffle.
func shuffle[T any](r *pythonRandom, x []T) {
	for i := len(x) - 1; i > 0; i-- {
		j := r.below(i + 1)
		x[i], x[j] = x[j], x[i]
	}
}
