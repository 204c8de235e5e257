package cgo

// #include "steer.h"
import "C"

// The probes show upstream mistakes that this program works around (see
// native/upstream_probe.cpp). Only tests call them.

// ProbeRMSNormBack returns the relative error of ggml's RMS_NORM_BACK when its result
// takes the memory of its first operand, and when it does not.
func ProbeRMSNormBack(d Device) (reused, kept float64, err error) {
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_probe_rms_norm_back(d.p, (*C.double)(&reused), (*C.double)(&kept), e, n)
	})
	return reused, kept, err
}

// ProbeSoftMaxBack returns the relative error of ggml's SOFT_MAX_BACK when its result
// takes the memory of its second operand, and when it does not.
func ProbeSoftMaxBack(d Device) (reused, kept float64, err error) {
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_probe_soft_max_back(d.p, (*C.double)(&reused), (*C.double)(&kept), e, n)
	})
	return reused, kept, err
}

// ProbeAdapterChange returns the largest change of a logit that an adapter makes when
// it is attached before the first decode, set after one, and cleared after one.
func ProbeAdapterChange(d Device, m Model, l LoRA) (before, setAfter, clearAfter float64, err error) {
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_probe_adapter_change(d.p, m.p, l.p, (*C.double)(&before), (*C.double)(&setAfter),
			(*C.double)(&clearAfter), e, n)
	})
	return before, setAfter, clearAfter, err
}
