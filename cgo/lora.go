package cgo

// #include <stdlib.h>
// #include "steer.h"
import "C"

import "unsafe"

// LoRA is a live adapter: parameters that decode and training share, and, when
// trainable, gradients and Adam's moments.
type LoRA struct{ p *C.steer_lora }

// LoRAPair names one adapted weight.
type LoRAPair struct {
	Name            string
	NIn, NOut, Rank int
}

// Buffer selects one of an adapter's flat f32 buffers.
type Buffer int

// The flat buffers of a live adapter.
const (
	Params  Buffer = C.STEER_PARAMS
	Grads   Buffer = C.STEER_GRADS
	Moment1 Buffer = C.STEER_MOMENT1
	Moment2 Buffer = C.STEER_MOMENT2
)

// NewLoRA allocates a live adapter; nHead > 0 adds a scalar head of that width. A planned
// one has shapes but no memory: graphs on it can be measured, nothing else.
func NewLoRA(
	d Device, m Model, pairs []LoRAPair, alpha float32, nHead int, trainable, planned bool,
) (l LoRA, err error) {
	size := C.size_t(unsafe.Sizeof(C.steer_lora_pair{}))
	mem := C.calloc(C.size_t(len(pairs)+1), size)
	defer C.free(mem)
	cp := unsafe.Slice((*C.steer_lora_pair)(mem), len(pairs)+1)
	for i, p := range pairs {
		name := C.CString(p.Name)
		defer C.free(unsafe.Pointer(name))
		cp[i] = C.steer_lora_pair{name: name, n_in: C.int32_t(p.NIn), n_out: C.int32_t(p.NOut), rank: C.int32_t(p.Rank)}
	}
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_lora_new(d.p, m.p, &cp[0], C.int32_t(len(pairs)), C.float(alpha), C.int32_t(nHead),
			C.bool(trainable), C.bool(planned), &l.p, e, n)
	})
	return l, err
}

// Free releases the adapter.
func (l LoRA) Free() { C.steer_lora_free(l.p) }

// Count is the number of parameters.
func (l LoRA) Count() int64 { return int64(C.steer_lora_count(l.p)) }

// Room is Count with what lies between tensors for the device's alignment.
func (l LoRA) Room() int64 { return int64(C.steer_lora_room(l.p)) }

// Param returns parameter tensor i: 2*pair is a, 2*pair+1 is b, then head weight and bias.
func (l LoRA) Param(i int) Tensor { return Tensor{C.steer_lora_param(l.p, C.int32_t(i))} }

// Grad returns the gradient tensor of Param(i).
func (l LoRA) Grad(i int) Tensor { return Tensor{C.steer_lora_grad(l.p, C.int32_t(i))} }

// Read copies a flat buffer out; len(dst) must be Count.
func (l LoRA) Read(what Buffer, dst []float32) {
	C.steer_lora_read(l.p, C.int(what), (*C.float)(ptr(dst)))
}

// Write copies a flat buffer in; len(src) must be Count.
func (l LoRA) Write(what Buffer, src []float32) {
	C.steer_lora_write(l.p, C.int(what), (*C.float)(ptr(src)))
}

// ZeroGrad clears the gradients.
func (l LoRA) ZeroGrad() { C.steer_lora_zero_grad(l.p) }

// GradNorm is the global L2 norm of the gradients.
func (l LoRA) GradNorm() float64 { return float64(C.steer_lora_grad_norm(l.p)) }

// AdamW takes one step on gradients multiplied by gscale; step counts from 1.
func (l LoRA) AdamW(gscale float32, lr, beta1, beta2, eps, weightDecay float64, step int64) {
	C.steer_lora_adamw(l.p, C.float(gscale), C.double(lr), C.double(beta1), C.double(beta2), C.double(eps),
		C.double(weightDecay), C.int64_t(step))
}
