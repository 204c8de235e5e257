package cgo

// #include "steer.h"
import "C"

// GraphUse is what a graph takes, in bytes.
type GraphUse struct {
	Activations int64 // inputs, intermediate results and outputs
	Tables      int64 // of the graph and its allocator
	Work        int64 // kept by ggml for its own operations, once a device
	Scratch     int64 // in use at once by a GPU's kernels, at most; 0 on the CPU
}

// Measure lays the graph built since Begin out without allocating it.
func (g Graph) Measure() (u GraphUse, err error) {
	var c C.steer_graph_use
	err = call(func(e *C.char, n C.size_t) C.int { return C.steer_graph_measure(g.p, &c, e, n) })
	return GraphUse{Activations: int64(c.activations), Tables: int64(c.tables), Work: int64(c.work),
		Scratch: int64(c.scratch)}, err
}

// ReserveScratch obtains the scratch memory that computing the graph needs of a GPU.
func (g Graph) ReserveScratch() error {
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_graph_reserve_scratch(g.p, e, n) })
}

// SessionUse is what a session takes, in bytes.
type SessionUse struct {
	KV       int64 // keys and values
	Reserved int64 // room for the activations of the largest decode allowed
	Compute  int64 // of it, what the decode asked for touches
	Host     int64 // on a GPU: activations in the host's memory
	Logits   int64
	Tables   int64 // of libllama and ggml
}

// MeasureSession lays a session out as NewSession would open it, without allocating it,
// and a decode of so many tokens and outputs in it.
func MeasureSession(
	d Device, m Model, loras []LoRA, nSeq, nCtx, nBatch int, kvF32 bool, nTokens, nOutputs int,
) (u SessionUse, err error) {
	handles := make([]*C.steer_lora, len(loras)+1)
	for i, l := range loras {
		handles[i] = l.p
	}
	var c C.steer_session_use
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_session_measure(d.p, m.p, &handles[0], C.int32_t(len(loras)), C.int32_t(nSeq), C.int32_t(nCtx),
			C.int32_t(nBatch), C.bool(kvF32),
			C.int32_t(nTokens), C.int32_t(nOutputs), &c, e, n)
	})
	return SessionUse{KV: int64(c.kv), Reserved: int64(c.reserved), Compute: int64(c.compute), Host: int64(c.host),
		Logits: int64(c.logits), Tables: int64(c.tables)}, err
}

// ScratchBytes is the memory that the kernels of all threads hold for themselves.
func ScratchBytes() int64 { return int64(C.steer_scratch_bytes()) }

// Allocations counts how often memory was obtained for graphs, for ggml's work and for
// the kernels' scratch since the process began.
func Allocations() int64 { return int64(C.steer_allocations()) }
