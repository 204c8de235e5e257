package stats

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"steer/internal/crash"
	"steer/internal/seed"
)

// Resamples yields bootstrap index vectors. Draw(b, idx) fills idx, of length
// Items(), with resample number b; the same b always gives the same vector,
// whatever was drawn before, so that every model sees the same resamples and they
// can be made in parallel.
type Resamples interface {
	Items() int
	Draw(b int, idx []int32)
}

// Seeded draws items with replacement, uniformly.
type Seeded struct {
	n    int
	seed uint64
}

// NewSeeded makes resamples of n items (n >= 1) from a seed.
func NewSeeded(n int, seed uint64) (*Seeded, error) {
	if n < 1 {
		return nil, fmt.Errorf("stats: bootstrap of %d items: at least one is needed", n)
	}
	return &Seeded{n: n, seed: seed}, nil
}

// Items implements [Resamples].
func (s *Seeded) Items() int { return s.n }

// Draw implements [Resamples].
func (s *Seeded) Draw(b int, idx []int32) {
	r := stream(s.seed, uint64(b))
	fillUniform(r, idx, 0, uint32(s.n))
}

// Stratified draws with replacement within each stratum, so that every resample
// holds as many items of each label as the sample does.
type Stratified struct {
	order  []int32 // items sorted by label
	bounds []int   // bounds[s]..bounds[s+1] is stratum s of order
	seed   uint64
}

// NewStratified makes resamples stratified by labels (one an item).
func NewStratified(labels []int, seed uint64) (*Stratified, error) {
	if len(labels) == 0 {
		return nil, fmt.Errorf("stats: stratified bootstrap of 0 items: at least one is needed")
	}
	s := &Stratified{order: make([]int32, len(labels)), seed: seed}
	for i := range s.order {
		s.order[i] = int32(i)
	}
	slices.SortStableFunc(s.order, func(a, b int32) int { return labels[a] - labels[b] })
	for k := range s.order {
		if k == 0 || labels[s.order[k]] != labels[s.order[k-1]] {
			s.bounds = append(s.bounds, k)
		}
	}
	s.bounds = append(s.bounds, len(labels))
	return s, nil
}

// Items implements [Resamples].
func (s *Stratified) Items() int { return len(s.order) }

// Draw implements [Resamples].
func (s *Stratified) Draw(b int, idx []int32) {
	r := stream(s.seed, uint64(b))
	for k := 0; k+1 < len(s.bounds); k++ {
		lo, hi := s.bounds[k], s.bounds[k+1]
		fillUniform(r, idx[lo:hi], int32(lo), uint32(hi-lo))
	}
	for k, at := range idx {
		idx[k] = s.order[at]
	}
}

// Fixed replays stored index vectors, e.g. those of another program.
type Fixed [][]int32

// Items implements [Resamples].
func (f Fixed) Items() int { return len(f[0]) }

// Draw implements [Resamples].
func (f Fixed) Draw(b int, idx []int32) { copy(idx, f[b]) }

// stream is the generator of one resample: PCG seeded by two words of splitmix64
// (Steele, Lea, Flood 2014), which separates neighbouring b.
func stream(base, b uint64) *rand.PCG {
	x := (base + seed.Gamma) ^ (seed.Mix(base) + b)
	return rand.NewPCG(seed.Mix(x), seed.Mix(x+seed.Gamma))
}

// fillUniform fills dst with offset + uniform draws from [0, n), two a 64-bit
// word, without bias (Lemire 2019).
func fillUniform(r *rand.PCG, dst []int32, offset int32, n uint32) {
	reject := -n % n // 2^32 mod n
	var word uint64
	have := false
	for i := 0; i < len(dst); {
		var u uint32
		if have {
			u, have = uint32(word>>32), false
		} else {
			word = r.Uint64()
			u, have = uint32(word), true
		}
		product := uint64(u) * uint64(n)
		if uint32(product) < reject {
			continue
		}
		dst[i] = offset + int32(product>>32)
		i++
	}
}

// parallel runs work(b) for b = 0..count-1 on all processors. Each goroutine makes
// its own work function, hence its own scratch space.
func parallel(count int, newWork func() func(b int)) {
	workers := min(runtime.GOMAXPROCS(0), count)
	var next atomic.Int64
	var wg sync.WaitGroup
	var panicked atomic.Pointer[crash.Panic]
	loop := func() {
		work := newWork()
		for {
			b := int(next.Add(1)) - 1
			if b >= count {
				return
			}
			work(b)
		}
	}
	for range workers {
		wg.Go(func() {
			if p := crash.Catch(loop); p != nil {
				next.Store(int64(count))
				panicked.CompareAndSwap(nil, p)
			}
		})
	}
	wg.Wait()
	panicked.Load().Again()
}
