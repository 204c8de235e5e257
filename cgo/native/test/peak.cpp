// The processor's arithmetic limit, from loops that touch registers only.

#include "harness.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace test {

__attribute__((target("avx512f,avx512bf16"))) double peak_bf16(int64_t n) {
    __m512   c[24];
    __m512bh a = (__m512bh) _mm512_set1_epi32((int) (n & 1)), b = (__m512bh) _mm512_set1_epi32((int) (n & 2));
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++) {
        c[i] = _mm512_set1_ps((float) n);
    }
    for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) {
            c[i] = _mm512_dpbf16_ps(c[i], a, b);
            asm volatile("" : "+v"(c[i])); // nothing may be known about it
        }
    }
    __m512 s = c[0];
#pragma GCC unroll 24
    for (int i = 1; i < 24; i++) {
        s = _mm512_add_ps(s, c[i]);
    }
    volatile float sink = _mm512_cvtss_f32(s);
    (void) sink;
    return (double) n * 24 * 64;
}

__attribute__((target("avx512f"))) double peak_f32(int64_t n) {
    __m512 c[24];
    __m512 a = _mm512_set1_ps((float) (n & 1)), b = _mm512_set1_ps((float) (n & 2));
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++) {
        c[i] = _mm512_set1_ps((float) n);
    }
    for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) {
            c[i] = _mm512_fmadd_ps(a, b, c[i]);
            asm volatile("" : "+v"(c[i]));
        }
    }
    __m512 s = c[0];
#pragma GCC unroll 24
    for (int i = 1; i < 24; i++) {
        s = _mm512_add_ps(s, c[i]);
    }
    volatile float sink = _mm512_cvtss_f32(s);
    (void) sink;
    return (double) n * 24 * 32;
}

} // namespace test

#else

namespace test {
double peak_bf16(int64_t) {
    return 0;
}
double peak_f32(int64_t) {
    return 0;
}
} // namespace test

#endif
