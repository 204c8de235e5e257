package train

import (
	"math/rand/v2"

	"steer/internal/seed"
)

// DeriveSeed gives the seed of one use of randomness in a run; see [seed.Derive].
func DeriveSeed(s uint64, use string, counters ...uint64) uint64 {
	return seed.Derive(s, use, counters...)
}

// NewRand returns the generator of one use of randomness; see DeriveSeed.
func NewRand(s uint64, use string, counters ...uint64) *rand.Rand {
	d := seed.Derive(s, use, counters...)
	return rand.New(rand.NewPCG(d, seed.Mix(d)))
}

// Permutation is the order of n items in one pass over them, [n].
func Permutation(n int, seed uint64, use string, counters ...uint64) []int {
	return NewRand(seed, use, counters...).Perm(n)
}
