package ggml

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"steer/cgo"
	"steer/ggml/seam"
)

// ErrClosed is returned by every method of a closed object.
var ErrClosed = errors.New("already closed")

// ErrOpenChildren is returned when something is closed before what depends on it.
var ErrOpenChildren = errors.New("still in use")

// Device is one compute device. All native calls for it run on one OS thread.
type Device struct {
	native cgo.Device
	calls  chan func()
	models children
	mu     sync.RWMutex // held for reading while a call is under way
	closed bool
}

// DeviceOptions configures OpenDevice.
type DeviceOptions struct {
	// Threads is the number of compute threads; 0 means one for each CPU that the
	// process may use.
	Threads int
}

// OpenDevice starts the CPU device and its engine thread.
func OpenDevice(opt DeviceOptions) (*Device, error) {
	if opt.Threads == 0 {
		opt.Threads = runtime.NumCPU()
	}
	if opt.Threads < 0 {
		return nil, fmt.Errorf("ggml: threads: want 1 or more, or 0 for all CPUs, got %d", opt.Threads)
	}
	d := &Device{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		// ggml's thread pool keeps per-thread state, and a GPU's current device is
		// per thread: everything native happens here. It is never unlocked, so that the
		// thread ends with the device, and with it what the kernels keep for the thread.
		runtime.LockOSThread()
		var err error
		d.native, err = cgo.NewDevice(opt.Threads)
		ready <- err
		if err != nil {
			return
		}
		for f := range d.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("ggml: cannot start the CPU device: %w", err)
	}
	return d, nil
}

// do runs f on the engine thread and waits for it. Everything below a device that
// changes after its making (what is closed, whose activations are in memory) is read
// and written in here only, so that callers on many goroutines need no locks.
func (d *Device) do(f func() error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return fmt.Errorf("ggml: device: %w", ErrClosed)
	}
	done := make(chan error, 1)
	d.calls <- func() { done <- f() }
	return nativeError(<-done)
}

// Kernel names the CPU kernels in use, such as "avx512bf16".
func (d *Device) Kernel() string {
	var name string
	_ = d.do(func() error { name = d.native.Kernel(); return nil })
	return name
}

// Close ends the engine thread. Models must be closed before.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	if err := d.models.empty("device"); err != nil {
		return err
	}
	d.closed = true
	done := make(chan struct{})
	d.calls <- func() { d.native.Free(); close(done) }
	<-done
	close(d.calls)
	return nil
}

// Alive counts the native objects in the process that have not been closed.
func Alive() int64 { return cgo.Alive() }

// ForceKernel chooses the CPU kernels ("portable", "avx2", "avx512", "avx512bf16")
// for the whole process; "" goes back to the best this CPU has. To be called while
// nothing computes.
func ForceKernel(name string) error { return cgo.ForceKernel(name) }

// nativeError gives native failures the names that callers know.
func nativeError(err error) error {
	switch {
	case errors.Is(err, cgo.ErrNoMemory):
		return fmt.Errorf("%w (%w)", seam.ErrOutOfMemory, err)
	case errors.Is(err, cgo.ErrKVFull):
		return fmt.Errorf("%w (%w)", seam.ErrContextFull, err)
	}
	return err
}

// children counts what is open under a parent, by kind. It belongs to the engine thread.
type children struct{ count map[string]int }

func (c *children) add(kind string, n int) {
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[kind] += n
}

func (c *children) empty(parent string) error {
	for kind, n := range c.count {
		if n > 0 {
			return fmt.Errorf("ggml: closing a %s with %d open %s: %w", parent, n, kind, ErrOpenChildren)
		}
	}
	return nil
}
