package ggml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"steer/cgo"
	"steer/ggml/lm"
	"steer/internal/crash"
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

	fallback string // why "auto" became the CPU
}

// DeviceOptions configures OpenDevice.
type DeviceOptions struct {
	// Name is the device to compute on: "cpu", "cuda" (the first NVIDIA GPU), "cuda:N", or
	// "auto", the first GPU if there is one that works and else the CPU; see Device.Fallback.
	// "" means "cpu".
	Name DeviceName
	// Threads is the number of compute threads on the host; 0 means one for each CPU that
	// the process may use.
	Threads int
	// CUDA says where what a GPU needs is, where it is not in its usual place.
	CUDA CUDAOptions
}

// CUDAOptions are paths, and a switch for the search of errors.
type CUDAOptions struct {
	// Library is the path of libsteer-cuda.so. "": beside the program, in ../build/cuda
	// from there, or in build/cuda of the working folder.
	Library string
	// Driver is NVIDIA's driver library; "" means the system's libcuda.so.1.
	Driver string
	// CheckEach waits after each operation of a training step, so that an error of the
	// hardware names the operation it came from. Slow.
	CheckEach bool
}

// DeviceName names a compute device.
type DeviceName string

// The devices; there is also "cuda:N" for the GPU number N.
const (
	CPU  DeviceName = "cpu"
	CUDA DeviceName = "cuda"
	Auto DeviceName = "auto"
)

// Check refuses names that no device can have.
func (n DeviceName) Check() error {
	switch n {
	case "", CPU, CUDA, Auto:
		return nil
	}
	if i, ok := strings.CutPrefix(string(n), "cuda:"); ok {
		if v, err := strconv.ParseUint(i, 10, 8); err == nil && i == strconv.FormatUint(v, 10) {
			return nil
		}
	}
	return fmt.Errorf("there is no device called %q: want cpu, cuda, cuda:N (the GPU number N) or auto", string(n))
}

// libraries lists where libsteer-cuda.so may be.
func (o CUDAOptions) libraries() []string {
	if o.Library != "" {
		return []string{o.Library}
	}
	const name, built = "libsteer-cuda.so", "build/cuda/libsteer-cuda.so"
	var paths []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		paths = append(paths, filepath.Join(dir, name), filepath.Join(dir, "..", built))
	}
	if here, err := filepath.Abs(built); err == nil && !slices.Contains(paths, here) {
		paths = append(paths, here)
	}
	return paths
}

// Find is the CUDA library that a device would take, "" if there is none, and where it was looked for.
func (o CUDAOptions) Find() (path string, looked []string) {
	looked = o.libraries()
	for _, p := range looked {
		if _, err := os.Stat(p); err == nil {
			return p, looked
		}
	}
	return "", looked
}

// OpenDevice starts a device and its engine thread.
func OpenDevice(opt DeviceOptions) (*Device, error) {
	if err := opt.Name.Check(); err != nil {
		return nil, fmt.Errorf("ggml: %w", err)
	}
	if opt.Threads == 0 {
		opt.Threads = runtime.NumCPU()
	}
	if opt.Threads < 0 {
		return nil, fmt.Errorf("ggml: threads: want 1 or more, or 0 for all CPUs, got %d", opt.Threads)
	}
	name, auto := opt.Name, opt.Name == Auto
	switch {
	case name == "":
		name = CPU
	case auto:
		name = CUDA
	}
	d := &Device{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		// ggml's thread pool keeps per-thread state, and a GPU's current device is
		// per thread: everything native happens here. It is never unlocked, so that the
		// thread ends with the device, and with it what the kernels keep for the thread.
		runtime.LockOSThread()
		params := cgo.DeviceParams{
			Name: string(name), Threads: opt.Threads,
			Libraries: opt.CUDA.libraries(), Driver: opt.CUDA.Driver, CheckEach: opt.CUDA.CheckEach,
		}
		var err error
		d.native, err = cgo.NewDevice(params)
		if err != nil && auto {
			d.fallback = err.Error()
			name, params.Name = CPU, string(CPU)
			d.native, err = cgo.NewDevice(params)
		}
		ready <- err
		if err != nil {
			return
		}
		for f := range d.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("ggml: cannot start device %s: %w", name, nativeError(err))
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
	var err error
	done := make(chan *crash.Panic, 1)
	d.calls <- func() {
		panicked := crash.Catch(func() { err = f() })
		if fault := cgo.TakeFault(); fault != nil {
			err = fault // the cause of what f saw, if it saw anything
		}
		done <- panicked
	}
	(<-done).Again() // on the goroutine that asked: the engine goes on, for what is closed on the way out
	return nativeError(err)
}

// Name is the device computed on: "cpu" or "cuda:N".
func (d *Device) Name() string {
	var name string
	_ = d.do(func() error { name = d.native.Name(); return nil })
	return name
}

// OnGPU tells whether the device is a GPU.
func (d *Device) OnGPU() bool { return strings.HasPrefix(d.Name(), string(CUDA)) }

// Fallback is why a device opened as "auto" is the CPU; "" if it is a GPU, or was asked for by name.
func (d *Device) Fallback() string { return d.fallback }

// Kernel names the CPU kernels in use, such as "avx512bf16", or the GPU and its architecture.
func (d *Device) Kernel() string {
	var name string
	_ = d.do(func() error { name = d.native.Kernel(); return nil })
	return name
}

// GEMMRate measures what a GPU's products of large random bf16 matrices reach, in operations a
// second: the limit that training is compared with. An error on the CPU, see MeasurePeak.
func (d *Device) GEMMRate() (rate float64, err error) {
	err = d.do(func() (err error) { rate, err = d.native.GEMMRate(); return err })
	return rate, err
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
		return fmt.Errorf("%w (%w)", lm.ErrOutOfMemory, err)
	case errors.Is(err, cgo.ErrKVFull):
		return fmt.Errorf("%w (%w)", lm.ErrContextFull, err)
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
