package cgo

/*
#include <stdlib.h>
#include "steer.h"
*/
import "C"

import "unsafe"

// Quantizer is libllama's quantizer of whole models.
type Quantizer struct{ p *C.steer_quantizer }

// QuantizerParams say what a model is to become.
type QuantizerParams struct {
	FileType          uint32 // enum llama_ftype
	Threads           int
	Output, Embedding int  // ggml types of these two matrices; -1: as FileType says
	Pure              bool // all matrices in the type's own
	Requantize        bool // matrices that are quantized already, too
}

// NewQuantizer makes a quantizer of one file.
func NewQuantizer(p QuantizerParams) (q Quantizer, err error) {
	params := C.steer_quantizer_params{
		ftype: C.int(p.FileType), n_threads: C.int(p.Threads), output_type: C.int(p.Output),
		embedding_type: C.int(p.Embedding), pure: C.bool(p.Pure), requantize: C.bool(p.Requantize),
	}
	err = call(func(e *C.char, n C.size_t) C.int { return C.steer_quantizer_new(&params, &q.p, e, n) })
	return q, err
}

// SetType stores the matrices whose name a regular expression matches as a ggml type.
func (q Quantizer) SetType(pattern string, typ uint32) error {
	c := C.CString(pattern)
	defer C.free(unsafe.Pointer(c))
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_quantizer_set_type(q.p, c, C.int(typ), e, n) })
}

// SetImportance says how much each column of a matrix matters.
func (q Quantizer) SetImportance(tensor string, values []float32) error {
	c := C.CString(tensor)
	defer C.free(unsafe.Pointer(c))
	return call(func(e *C.char, n C.size_t) C.int {
		return C.steer_quantizer_set_importance(q.p, c, (*C.float)(ptr(values)), C.int64_t(len(values)), e, n)
	})
}

// Run reads the model at in and writes out. It blocks.
func (q Quantizer) Run(in, out string) error {
	i, o := C.CString(in), C.CString(out)
	defer C.free(unsafe.Pointer(i))
	defer C.free(unsafe.Pointer(o))
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_quantizer_run(q.p, i, o, e, n) })
}

// Progress counts the tensors written. Safe while Run runs.
func (q Quantizer) Progress() (done, total int) {
	var d, t C.int32_t
	C.steer_quantizer_progress(q.p, &d, &t)
	return int(d), int(t)
}

// Stop ends Run before its next tensor. Safe while Run runs.
func (q Quantizer) Stop() { C.steer_quantizer_stop(q.p) }

// Free frees the quantizer.
func (q Quantizer) Free() { C.steer_quantizer_free(q.p) }
