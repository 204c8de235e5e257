package cgo

/*
#cgo CFLAGS: -I${SRCDIR}/native -O2
#cgo LDFLAGS: -L${SRCDIR}/../build/native/lib -lsteer -lsteer-cpu -lllama -lggml -lstdc++ -lm -ldl -lpthread
#include <stdlib.h>
#include "steer.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// Errors of the native layer that callers tell apart.
var (
	ErrNoMemory = errors.New("out of memory")
	ErrKVFull   = errors.New("key-value cache is full")
)

const errLen = 1024

// call runs f with a buffer for its message and turns code and message into an error.
func call(f func(err *C.char, n C.size_t) C.int) error {
	var buf [errLen]C.char
	code := f(&buf[0], errLen)
	if code == C.STEER_OK {
		return nil
	}
	msg := C.GoString(&buf[0])
	switch code {
	case C.STEER_NO_MEMORY:
		return fmt.Errorf("%w: %s", ErrNoMemory, msg)
	case C.STEER_KV_FULL:
		return fmt.Errorf("%w: %s", ErrKVFull, msg)
	}
	return errors.New(msg)
}

// Alive counts the native objects that have not been freed.
func Alive() int64 { return int64(C.steer_alive()) }

// ptr returns a pointer to the first element, nil for an empty slice.
func ptr[T any](s []T) unsafe.Pointer {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Pointer(&s[0])
}

// TakeFault returns, once, the first failure of a call that has no error of its own (reads,
// writes and frees; only on a GPU they can fail). It belongs to the calling thread.
func TakeFault() error {
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_take_fault(e, n) })
}

// Device is a compute device: backend and thread pool.
type Device struct{ p *C.steer_device }

// DeviceParams say which device, and where what a GPU needs may be.
type DeviceParams struct {
	Name      string // "cpu", "cuda" or "cuda:N"
	Threads   int
	Libraries []string // where libsteer-cuda.so may be, the first that is there is taken
	Driver    string   // NVIDIA's driver library; "": libcuda.so.1
	CheckEach bool     // on a GPU: wait after each op, so that an error names its own
}

// NewDevice starts a device.
func NewDevice(p DeviceParams) (d Device, err error) {
	var free []unsafe.Pointer
	defer func() {
		for _, p := range free {
			C.free(p)
		}
	}()
	text := func(s string) *C.char {
		c := C.CString(s)
		free = append(free, unsafe.Pointer(c))
		return c
	}
	size := C.size_t(unsafe.Sizeof((*C.char)(nil)))
	mem := C.calloc(C.size_t(len(p.Libraries)+1), size)
	free = append(free, mem)
	libraries := unsafe.Slice((**C.char)(mem), len(p.Libraries)+1)
	for i, l := range p.Libraries {
		libraries[i] = text(l)
	}
	params := C.steer_device_params{
		name: text(p.Name), n_threads: C.int(p.Threads), libraries: (**C.char)(mem),
		n_libraries: C.int(len(p.Libraries)),
		driver:      text(p.Driver), check_each: C.bool(p.CheckEach),
	}
	err = call(func(e *C.char, n C.size_t) C.int { return C.steer_device_new(&params, &d.p, e, n) })
	return d, err
}

// Free ends the device.
func (d Device) Free() { C.steer_device_free(d.p) }

// Name is the device's name, such as "cpu" or "cuda:0".
func (d Device) Name() string { return C.GoString(C.steer_device_name(d.p)) }

// Kernel names the CPU kernels in use, or the GPU and its architecture.
func (d Device) Kernel() string { return C.GoString(C.steer_device_kernel(d.p)) }

// GEMMRate is what a GPU's large products in bf16 reach, in operations a second.
func (d Device) GEMMRate() (float64, error) {
	var rate C.double
	err := call(func(e *C.char, n C.size_t) C.int { return C.steer_device_gemm_rate(d.p, &rate, e, n) })
	return float64(rate), err
}

// Memory is a GPU's memory, in bytes, whoever uses it.
type Memory struct {
	Free, Total int64
	Opened      int64 // in use when the device had been opened
	Most        int64 // the most in use that was seen since
	Scratch     int64 // held by the kernels of training
}

// Memory looks at a GPU's memory.
func (d Device) Memory() (m Memory, err error) {
	var c C.steer_memory
	err = call(func(e *C.char, n C.size_t) C.int { return C.steer_device_memory(d.p, &c, e, n) })
	return Memory{Free: int64(c.free), Total: int64(c.total), Opened: int64(c.opened), Most: int64(c.most),
		Scratch: int64(c.scratch)}, err
}

// ForceKernel chooses CPU kernels by name for the whole process; "" goes back to the best.
func ForceKernel(name string) error {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_force_kernel(c, e, n) })
}
