package data

import (
	"math"
	"math/rand/v2"
	"slices"
)

// streamShuffle is the second half of the PCG seed of every permutation of this
// package; changing it changes every run.
const streamShuffle = 0x5354454552444154 // "STEERDAT"

// Permutation gives a random order of 0..n-1 that depends on seed alone.
func Permutation(n int, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, streamShuffle)).Perm(n)
}

// Split divides 0..n-1 into a train and a held-out part of round(n*share) rows
// (at least 1 and at most n-1 for n >= 2), both ascending.
func Split(n int, share float64, seed uint64) (train, heldOut []int) {
	if n < 2 {
		for i := range n {
			train = append(train, i)
		}
		return train, nil
	}
	k := min(max(int(math.Round(float64(n)*share)), 1), n-1)
	order := Permutation(n, seed)
	heldOut, train = slices.Clone(order[:k]), slices.Clone(order[k:])
	slices.Sort(heldOut)
	slices.Sort(train)
	return train, heldOut
}
