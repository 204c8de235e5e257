package query

import (
	"runtime"
	"sync"
	"sync/atomic"

	"steer/internal/crash"
)

// inParallel calls f for 0 to n-1 on as many goroutines as there are CPUs and returns the error
// of the lowest index that failed, as a loop would. f writes what it finds to a place of its own.
func inParallel(n int, f func(i int) error) error {
	var next atomic.Int64
	var mu sync.Mutex
	var failed error
	at := n // the lowest index that failed
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if err := f(i); err != nil {
				next.Store(int64(n)) // none above it is of interest
				mu.Lock()
				if i < at {
					at, failed = i, err
				}
				mu.Unlock()
			}
		}
	}
	var wg sync.WaitGroup
	var panicked atomic.Pointer[crash.Panic]
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			if p := crash.Catch(work); p != nil {
				next.Store(int64(n))
				panicked.CompareAndSwap(nil, p)
			}
		})
	}
	wg.Wait()
	panicked.Load().Again() // where the caller's promises about panics hold
	return failed
}
