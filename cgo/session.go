package cgo

// #include "steer.h"
import "C"

import "unsafe"

// Session is a libllama context that decodes many sequences on live adapters.
type Session struct{ p *C.steer_session }

// NewSession opens a context of nSeq sequences of nCtx tokens each. kvF32 keeps the
// cache in f32 without flash attention, plain leaves libllama its own kernels: both for
// comparisons.
func NewSession(d Device, m Model, loras []LoRA, nSeq, nCtx, nBatch int, kvF32, plain bool) (s Session, err error) {
	handles := make([]*C.steer_lora, len(loras)+1)
	for i, l := range loras {
		handles[i] = l.p
	}
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_session_new(d.p, m.p, &handles[0], C.int32_t(len(loras)), C.int32_t(nSeq), C.int32_t(nCtx),
			C.int32_t(nBatch), C.bool(kvF32), C.bool(plain), &s.p, e, n)
	})
	return s, err
}

// Free closes the context.
func (s Session) Free() { C.steer_session_free(s.p) }

// Clear forgets all sequences.
func (s Session) Clear() { C.steer_session_clear(s.p) }

// Remove forgets one sequence.
func (s Session) Remove(seq int) { C.steer_session_remove(s.p, C.int32_t(seq)) }

// Copy makes sequence `to` the first n tokens of sequence `from`; with the two equal it
// forgets what comes after them.
func (s Session) Copy(from, to, n int) {
	C.steer_session_copy(s.p, C.int32_t(from), C.int32_t(to), C.int32_t(n))
}

// Sampling as in steer.h.
type Sampling struct {
	Temperature float32
	TopK        int
	TopP, MinP  float32
}

// Decode runs len(tokens) tokens at once; then next[k] is drawn, with the variate uniform[k], as a
// token that follows tokens[after[k]].
func (s Session) Decode(tokens, pos, seq, after []int32, uniform []float64, sp Sampling, next []int32) error {
	c := C.steer_sampling{temperature: C.float(sp.Temperature), top_k: C.int32_t(sp.TopK), top_p: C.float(sp.TopP),
		min_p: C.float(sp.MinP)}
	return call(func(e *C.char, n C.size_t) C.int {
		return C.steer_session_decode(s.p, C.int32_t(len(tokens)), (*C.int32_t)(ptr(tokens)), (*C.int32_t)(ptr(pos)),
			(*C.int32_t)(ptr(seq)), C.int32_t(len(after)), (*C.int32_t)(ptr(after)), (*C.double)(ptr(uniform)), &c,
			(*C.int32_t)(ptr(next)), e, n)
	})
}

// Rest names and counts the nodes of the last graph that ggml computed itself.
func (s Session) Rest() string {
	buf := make([]byte, 256)
	n := C.steer_session_rest(s.p, (*C.char)(ptr(buf)), C.size_t(len(buf)))
	return string(buf[:min(int(n), len(buf)-1)])
}

// Logits copies the logits after token i of the last Decode.
func (s Session) Logits(i int, logits []float32) error {
	return call(func(e *C.char, n C.size_t) C.int {
		return C.steer_session_logits(s.p, C.int32_t(i), (*C.float)(unsafe.Pointer(&logits[0])), e, n)
	})
}
