package cgo

// #include "steer.h"
import "C"

// PeakBF16 runs n rounds of a loop of bf16 multiply-adds that touches registers only, on
// the calling thread, and returns the floating point operations done; 0 if the CPU has
// no such instructions. Safe for concurrent use.
func PeakBF16(n int64) float64 { return float64(C.steer_peak_bf16(C.int64_t(n))) }

// PeakF32 is PeakBF16 with f32 multiply-adds in the CPU's widest vectors.
func PeakF32(n int64) float64 { return float64(C.steer_peak_f32(C.int64_t(n))) }
