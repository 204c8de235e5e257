package ggml

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"steer/cgo"
)

// Peak is the arithmetic limit of the CPU, in floating point operations a second.
type Peak struct {
	BF16 float64 // 0: the CPU has no bf16 instructions
	F32  float64
}

// Of is the limit of the instructions that multiply frozen matrices at precision p.
func (k Peak) Of(p Precision) float64 {
	if p != F32 && k.BF16 > 0 {
		return k.BF16
	}
	return k.F32
}

// MeasurePeak measures the limit of that many threads (0: one for each CPU) by loops
// that touch registers only. It takes about half a second. The best of many short
// rounds counts, since whatever else runs on the machine can only make a round slower.
func MeasurePeak(threads int) (Peak, error) {
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	if threads < 1 {
		return Peak{}, fmt.Errorf("peak: threads: want 1 or more, or 0 for all CPUs, got %d", threads)
	}
	return Peak{BF16: bestRate(threads, cgo.PeakBF16), F32: bestRate(threads, cgo.PeakF32)}, nil
}

// Rounds of the loops: about 10 ms each on a machine of 2020.
const (
	peakRounds = 24
	peakLoop   = 1_000_000
)

func bestRate(threads int, loop func(int64) float64) float64 {
	best := 0.0
	for range peakRounds {
		var wg sync.WaitGroup
		done := make([]float64, threads)
		start := time.Now()
		for i := range threads {
			wg.Go(func() { done[i] = loop(peakLoop) })
		}
		wg.Wait()
		total := 0.0
		for _, n := range done {
			total += n
		}
		best = max(best, total/time.Since(start).Seconds())
	}
	return best
}
