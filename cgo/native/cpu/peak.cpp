// c_i += a b for as many independent c_i as registers hold, so that the units never wait
// for a result. The compiler may know nothing about a, b and c_i, else it would fold the loop.

#include "peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// Keeps the sum from being thrown away.
void use(float x) {
    volatile float sink = x;
    (void) sink;
}

#if defined(__x86_64__)

constexpr int ACC = 24; // of 32 vector registers

__attribute__((target("avx512f,avx512bf16"))) double bf16_avx512(int64_t n) {
    __m512   c[ACC];
    __m512bh a = (__m512bh) _mm512_set1_epi32((int) (n & 1)), b = (__m512bh) _mm512_set1_epi32((int) (n & 2));
#pragma GCC unroll 24
    for (int i = 0; i < ACC; i++) {
        c[i] = _mm512_set1_ps((float) n);
    }
    for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 24
        for (int i = 0; i < ACC; i++) {
            c[i] = _mm512_dpbf16_ps(c[i], a, b);
            asm volatile("" : "+v"(c[i]));
        }
    }
    __m512 s = c[0];
#pragma GCC unroll 24
    for (int i = 1; i < ACC; i++) {
        s = _mm512_add_ps(s, c[i]);
    }
    use(_mm512_cvtss_f32(s));
    return (double) n * ACC * 64;
}

__attribute__((target("avx512f"))) double f32_avx512(int64_t n) {
    __m512 c[ACC];
    __m512 a = _mm512_set1_ps((float) (n & 1)), b = _mm512_set1_ps((float) (n & 2));
#pragma GCC unroll 24
    for (int i = 0; i < ACC; i++) {
        c[i] = _mm512_set1_ps((float) n);
    }
    for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 24
        for (int i = 0; i < ACC; i++) {
            c[i] = _mm512_fmadd_ps(a, b, c[i]);
            asm volatile("" : "+v"(c[i]));
        }
    }
    __m512 s = c[0];
#pragma GCC unroll 24
    for (int i = 1; i < ACC; i++) {
        s = _mm512_add_ps(s, c[i]);
    }
    use(_mm512_cvtss_f32(s));
    return (double) n * ACC * 32;
}

constexpr int ACC_AVX2 = 12; // of 16

__attribute__((target("avx2,fma"))) double f32_avx2(int64_t n) {
    __m256 c[ACC_AVX2];
    __m256 a = _mm256_set1_ps((float) (n & 1)), b = _mm256_set1_ps((float) (n & 2));
#pragma GCC unroll 12
    for (int i = 0; i < ACC_AVX2; i++) {
        c[i] = _mm256_set1_ps((float) n);
    }
    for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < ACC_AVX2; i++) {
            c[i] = _mm256_fmadd_ps(a, b, c[i]);
            asm volatile("" : "+x"(c[i]));
        }
    }
    __m256 s = c[0];
#pragma GCC unroll 12
    for (int i = 1; i < ACC_AVX2; i++) {
        s = _mm256_add_ps(s, c[i]);
    }
    use(_mm256_cvtss_f32(s));
    return (double) n * ACC_AVX2 * 16;
}

#endif

// Vectors of four, which every machine has; the compiler contracts to multiply-adds.
typedef float vec4 __attribute__((vector_size(16)));

double f32_portable(int64_t n) {
    constexpr int acc = 12;
    vec4          c[acc];
    const float   x = (float) (n & 1), y = (float) (n & 2), z = (float) n;
    const vec4    a = { x, x, x, x }, b = { y, y, y, y };
#pragma GCC unroll 12
    for (int i = 0; i < acc; i++) {
        c[i] = vec4{ z, z, z, z };
    }
    for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < acc; i++) {
            c[i] += a * b;
#if defined(__x86_64__)
            asm volatile("" : "+x"(c[i]));
#else
            asm volatile("" : "+w"(c[i]));
#endif
        }
    }
    vec4 s = c[0];
#pragma GCC unroll 12
    for (int i = 1; i < acc; i++) {
        s += c[i];
    }
    use(s[0]);
    return (double) n * acc * 8;
}

} // namespace

double steer_cpu_peak_bf16(int64_t n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16")) {
        return bf16_avx512(n);
    }
#endif
    return 0;
}

double steer_cpu_peak_f32(int64_t n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        return f32_avx512(n);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return f32_avx2(n);
    }
#endif
    return f32_portable(n);
}
