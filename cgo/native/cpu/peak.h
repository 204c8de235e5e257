// The processor's arithmetic limit, from loops that touch registers only.
//
// Each call runs n rounds of independent multiply-adds on the calling thread and returns
// how many floating point operations that was (a multiply-add counts as two), or 0 if the
// processor has no such instructions. Time divided by it is the limit of one thread.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

double steer_cpu_peak_bf16(int64_t n); // bf16 pairs into f32: AVX512-BF16
double steer_cpu_peak_f32(int64_t n);  // f32, the widest vectors there are

#ifdef __cplusplus
}
#endif
