package pyrandom

import (
	"crypto/sha512"
	"encoding/binary"
	"math"
	"slices"
)

// Random is random.Random: MT19937 (Matsumoto, Nishimura 1998).
type Random struct {
	state [624]uint32
	at    int
}

// FromInt is random.Random(seed): the words of the number, least significant first, are fed to
// init_by_array.
func FromInt(seed uint64) *Random {
	key := []uint32{uint32(seed)}
	if high := uint32(seed >> 32); high != 0 {
		key = append(key, high)
	}
	r := &Random{}
	r.initByArray(key)
	return r
}

// FromText is random.Random(text): the seed is the big-endian integer of
// utf8(text) || sha512(utf8(text)), fed as 32-bit words, least significant first,
// to init_by_array.
func FromText(text string) *Random {
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
	r := &Random{}
	r.initByArray(key)
	return r
}

func (r *Random) initGenrand(s uint32) {
	r.state[0] = s
	for i := 1; i < len(r.state); i++ {
		s = 1812433253*(s^s>>30) + uint32(i)
		r.state[i] = s
	}
	r.at = len(r.state)
}

func (r *Random) initByArray(key []uint32) {
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
func (r *Random) uint32() uint32 {
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
func (r *Random) below(n int) int {
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

// Shuffle is Random.shuffle.
func Shuffle[T any](r *Random, x []T) {
	for i := len(x) - 1; i > 0; i-- {
		j := r.below(i + 1)
		x[i], x[j] = x[j], x[i]
	}
}

// Sample is Random.sample(range(n), k): k different indices below n, in the order in which they
// are drawn. k must not exceed n.
func (r *Random) Sample(n, k int) []int {
	out := make([]int, k)
	// Python takes a set where that is smaller than a list of all.
	size := 21.0
	if k > 5 {
		size += math.Pow(4, math.Ceil(math.Log(float64(k*3))/math.Log(4)))
	}
	if float64(n) <= size {
		pool := make([]int, n)
		for i := range pool {
			pool[i] = i
		}
		for i := range out {
			j := r.below(n - i)
			out[i] = pool[j]
			pool[j] = pool[n-i-1]
		}
		return out
	}
	seen := map[int]bool{}
	for i := range out {
		j := r.below(n)
		for seen[j] {
			j = r.below(n)
		}
		seen[j] = true
		out[i] = j
	}
	return out
}
