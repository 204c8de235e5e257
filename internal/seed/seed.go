package seed

import "math/rand/v2"

// Derive gives the seed of one use of randomness in a run: a function of the run's
// seed, the name of the use ("sft.shuffle") and its counters (epoch, sequence, ...),
// the same on every machine. Deriving instead of drawing from one stream is what makes
// a resumed run equal to an unbroken one.
//
// The bytes of the use and the counters are hashed with 64-bit FNV-1a, started from
// the mixed seed; each part is closed by the splitmix64 finalizer, so that neighbouring
// counters give unrelated seeds.
func Derive(seed uint64, use string, counters ...uint64) uint64 {
	const prime = 0x100000001b3
	h := Mix(seed ^ 0xcbf29ce484222325)
	for i := range len(use) {
		h = (h ^ uint64(use[i])) * prime
	}
	h = Mix(h ^ uint64(len(use)))
	for _, c := range counters {
		for shift := 0; shift < 64; shift += 8 {
			h = (h ^ (c >> shift & 0xff)) * prime
		}
		h = Mix(h)
	}
	return h
}

// Rand returns the generator of one use of randomness; see [Derive].
func Rand(seed uint64, use string, counters ...uint64) *rand.Rand {
	d := Derive(seed, use, counters...)
	return rand.New(rand.NewPCG(d, Mix(d)))
}

// Permutation is the order of n items in one pass over them, [n]; see [Derive].
func Permutation(n int, seed uint64, use string, counters ...uint64) []int {
	return Rand(seed, use, counters...).Perm(n)
}

// Gamma is what splitmix64 adds to its state before each output: 2^64 over the golden ratio.
const Gamma = 0x9e3779b97f4a7c15

// Mix is the output of splitmix64 (Steele, Lea, Flood 2014) after state z, a bijection.
func Mix(z uint64) uint64 { return Finalize(z + Gamma) }

// Finalize is the finalizer of splitmix64, a bijection.
func Finalize(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Bootstrap is the seed of the resamples of a benchmark of n items. It depends on
// nothing else: all models and protocols of the benchmark share their resamples.
func Bootstrap(seed uint64, benchmark string, n int) uint64 {
	return Derive(seed, "eval.bootstrap."+benchmark, uint64(n))
}
