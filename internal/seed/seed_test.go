package seed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The seeds are pinned: another derivation would silently break the resumption of
// runs started by an earlier version. Computed by a separate program from the
// definition (FNV-1a and splitmix64).
func TestDeriveIsPinned(t *testing.T) {
	for _, c := range []struct {
		want     uint64
		seed     uint64
		use      string
		counters []uint64
	}{
		{0x21fa69a58f3d62f5, 0, "", nil},
		{0xa8049acdf19fed5d, 42, "sft.shuffle", []uint64{0}},
		{0xfad10fa45ffad736, 42, "sft.shuffle", []uint64{1}},
		{0xc6df60d17c5b3fd2, 43, "ppo.rollout", []uint64{7, 1 << 40}},
	} {
		require.Equal(t, c.want, Derive(c.seed, c.use, c.counters...), "%+v", c)
	}
}

func TestDeriveTellsAllPartsApart(t *testing.T) {
	seen := map[uint64]string{}
	add := func(name string, s uint64) {
		if other, again := seen[s]; again {
			t.Fatalf("%s and %s give one seed", name, other)
		}
		seen[s] = name
	}
	for seed := range uint64(50) {
		add("seed", Derive(seed, "a"))
		for c := range uint64(50) {
			add("one counter", Derive(seed, "a", c))
			add("other use", Derive(seed, "b", c))
			add("use ab", Derive(seed, "ab", c))
			add("two counters", Derive(seed, "a", c, 0))
			add("two counters", Derive(seed, "a", 1<<32+c, 1))
		}
	}
	// Every bit of neighbouring seeds flips about half of the time.
	flips := 0
	for c := range uint64(1000) {
		x := Derive(1, "a", c) ^ Derive(1, "a", c+1)
		for ; x > 0; x &= x - 1 {
			flips++
		}
	}
	require.InDelta(t, 32, float64(flips)/1000, 0.5)
}

func TestPermutationIsOne(t *testing.T) {
	p := Permutation(20, 3, "x", 1)
	require.ElementsMatch(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, p)
	require.Equal(t, p, Permutation(20, 3, "x", 1))
	require.NotEqual(t, p, Permutation(20, 3, "x", 2))
}
