// Quantized weights by the formulas of ggml-quants.c (dequantize_row_*), eight values at a time.
#pragma once

#include "gpu.h"

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

namespace steer {
namespace cuda {

constexpr int EIGHT = 8;

// A weight type's block: unpack(b, i, v) gives elements i .. i+7 of block b, i a multiple of 8.
struct Q8_0 {
    static constexpr int SIZE = QK8_0;
    static __device__ void unpack(const block_q8_0 * b, int i, float * v) {
        const float d = half_to_float(b->d);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) b->qs[i + j];
        }
    }
};

// Low nibbles first, then high ones, of blocks of 32.
__device__ __forceinline__ int nibble32(const uint8_t * qs, int e) {
    return e < 16 ? qs[e] & 15 : qs[e - 16] >> 4;
}

struct Q4_0 {
    static constexpr int SIZE = QK4_0;
    static __device__ void unpack(const block_q4_0 * b, int i, float * v) {
        const float d = half_to_float(b->d);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) (nibble32(b->qs, i + j) - 8);
        }
    }
};

struct Q4_1 {
    static constexpr int SIZE = QK4_1;
    static __device__ void unpack(const block_q4_1 * b, int i, float * v) {
        const float d = half_to_float(b->data.data.d), m = half_to_float(b->data.data.m);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) nibble32(b->qs, i + j) + m;
        }
    }
};

// The fifth bit of element e.
__device__ __forceinline__ int fifth_bit(const uint8_t * qh, int e) {
    return (qh[e / 8] >> (e % 8) & 1) << 4;
}

struct Q5_0 {
    static constexpr int SIZE = QK5_0;
    static __device__ void unpack(const block_q5_0 * b, int i, float * v) {
        const float d = half_to_float(b->d);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) ((nibble32(b->qs, i + j) | fifth_bit(b->qh, i + j)) - 16);
        }
    }
};

struct Q5_1 {
    static constexpr int SIZE = QK5_1;
    static __device__ void unpack(const block_q5_1 * b, int i, float * v) {
        const float d = half_to_float(b->data.data.d), m = half_to_float(b->data.data.m);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) (nibble32(b->qs, i + j) | fifth_bit(b->qh, i + j)) + m;
        }
    }
};

// Two-bit types: element e of a half of 128 is bits 2 (e / 32) of byte e % 32.
struct Q2_K {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_q2_K * b, int i, float * v) {
        const int       half = i / 128, quarter = i % 128 / 32, sc = b->scales[i / 16];
        const float     d = half_to_float(b->data.data.d) * (float) (sc & 15);
        const float     m = half_to_float(b->data.data.dmin) * (float) (sc >> 4);
        const uint8_t * q = b->qs + half * 32 + i % 32;
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) (q[j] >> 2 * quarter & 3) - m;
        }
    }
};

struct Q3_K {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_q3_K * b, int i, float * v) {
        const int       half = i / 128, quarter = i % 128 / 32, s = i / 16;
        const int       low  = s < 8 ? b->scales[s] & 15 : b->scales[s - 8] >> 4,
                        high = b->scales[8 + s % 4] >> 2 * (s / 4) & 3;
        const float     d = half_to_float(b->d) * (float) ((low | high << 4) - 32);
        const uint8_t * q = b->qs + half * 32 + i % 32;
        const uint8_t * h = b->hmask + i % 32;
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) ((q[j] >> 2 * quarter & 3) - (h[j] >> (half * 4 + quarter) & 1 ? 0 : 4));
        }
    }
};

// Scale and minimum of sub-block s of Q4_K and Q5_K, six bits each.
__device__ __forceinline__ void scale_min(const uint8_t * q, int s, float * scale, float * min) {
    if (s < 4) {
        *scale = (float) (q[s] & 63);
        *min   = (float) (q[s + 4] & 63);
    } else {
        *scale = (float) ((q[s + 4] & 15) | (q[s - 4] >> 6) << 4);
        *min   = (float) (q[s + 4] >> 4 | (q[s] >> 6) << 4);
    }
}

struct Q4_K {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_q4_K * b, int i, float * v) {
        const int s = i / 32;
        float     scale, min;
        scale_min(b->scales, s, &scale, &min);
        const float     d = half_to_float(b->data.data.d) * scale, m = half_to_float(b->data.data.dmin) * min;
        const uint8_t * q = b->qs + s / 2 * 32 + i % 32;
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) (s % 2 ? q[j] >> 4 : q[j] & 15) - m;
        }
    }
};

struct Q5_K {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_q5_K * b, int i, float * v) {
        const int s = i / 32;
        float     scale, min;
        scale_min(b->scales, s, &scale, &min);
        const float     d = half_to_float(b->data.data.d) * scale, m = half_to_float(b->data.data.dmin) * min;
        const uint8_t * q = b->qs + s / 2 * 32 + i % 32;
        const uint8_t * h = b->qh + i % 32;
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) ((s % 2 ? q[j] >> 4 : q[j] & 15) | (h[j] >> s & 1) << 4) - m;
        }
    }
};

struct Q6_K {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_q6_K * b, int i, float * v) {
        const int       half = i / 128, quarter = i % 128 / 32, l = i % 32;
        const float     d  = half_to_float(b->d) * (float) b->scales[i / 16];
        const uint8_t * lo = b->ql + half * 64 + quarter % 2 * 32 + l;
        const uint8_t * hi = b->qh + half * 32 + l;
        for (int j = 0; j < EIGHT; j++) {
            const int low = quarter < 2 ? lo[j] & 15 : lo[j] >> 4;
            v[j]          = d * (float) ((low | (hi[j] >> 2 * quarter & 3) << 4) - 32);
        }
    }
};

// Sixteen values of a byte each, in registers: an array that is indexed would lie in memory.
struct Table {
    uint64_t low, high; // values 0 .. 7 and 8 .. 15
    __device__ int operator[](int q) const { return (int8_t) ((q < 8 ? low : high) >> 8 * (q % 8)); }
};

__host__ __device__ constexpr uint64_t bytes(int a, int b, int c, int d, int e, int f, int g, int h) {
    return (uint64_t) (uint8_t) a | (uint64_t) (uint8_t) b << 8 | (uint64_t) (uint8_t) c << 16 |
           (uint64_t) (uint8_t) d << 24 | (uint64_t) (uint8_t) e << 32 | (uint64_t) (uint8_t) f << 40 |
           (uint64_t) (uint8_t) g << 48 | (uint64_t) (uint8_t) h << 56;
}

// kvalues_iq4nl of ggml-common.h
__device__ __forceinline__ int iq4_value(int q) {
    constexpr Table values = { bytes(-127, -104, -83, -65, -49, -35, -22, -10), bytes(1, 13, 25, 38, 53, 69, 89, 113) };
    return values[q];
}

// kvalues_mxfp4
__device__ __forceinline__ int mxfp4_value(int q) {
    constexpr Table values = { bytes(0, 1, 2, 3, 4, 6, 8, 12), bytes(0, -1, -2, -3, -4, -6, -8, -12) };
    return values[q];
}

struct IQ4_NL {
    static constexpr int SIZE = QK4_NL;
    static __device__ void unpack(const block_iq4_nl * b, int i, float * v) {
        const float d = half_to_float(b->d);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) iq4_value(nibble32(b->qs, i + j));
        }
    }
};

struct IQ4_XS {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_iq4_xs * b, int i, float * v) {
        const int   s = i / 32, scale = (b->scales_l[s / 2] >> 4 * (s % 2) & 15) | (b->scales_h >> 2 * s & 3) << 4;
        const float d = half_to_float(b->d) * (float) (scale - 32);
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) iq4_value(nibble32(b->qs + s * 16, i % 32 + j));
        }
    }
};

struct MXFP4 {
    static constexpr int SIZE = QK_MXFP4;
    static __device__ void unpack(const block_mxfp4 * b, int i, float * v) {
        // The table has twice the values, so half of the scale 2^(e - 127) is wanted: as a bf16, denormal below 2^-126.
        const float d = to_float(bf16{ (uint16_t) (b->e < 2 ? 0x20 << b->e : (b->e - 1) << 7) });
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) mxfp4_value(nibble32(b->qs, i + j));
        }
    }
};

// Five ternary digits a byte as the fraction q / 256, the first digit on top: digit n is the whole part
// of 3 times the fraction of 3^n q / 256.
__device__ __forceinline__ int ternary(uint8_t q, int n) {
    const int power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
    return (q * power & 255) * 3 >> 8;
}

struct TQ1_0 {
    static constexpr int SIZE = QK_K;
    // 32 bytes of five digits, first digits first, 16 bytes of five, 4 bytes of four
    static __device__ void unpack(const block_tq1_0 * b, int i, float * v) {
        const float d = half_to_float(b->d);
        for (int j = 0; j < EIGHT; j++) {
            const int e = i + j;
            const int x = e < 160   ? ternary(b->qs[e % 32], e / 32)
                          : e < 240 ? ternary(b->qs[32 + e % 16], (e - 160) / 16)
                                    : ternary(b->qh[e % 4], (e - 240) / 4);
            v[j]        = d * (float) (x - 1);
        }
    }
};

struct TQ2_0 {
    static constexpr int SIZE = QK_K;
    static __device__ void unpack(const block_tq2_0 * b, int i, float * v) {
        const int       half = i / 128, quarter = i % 128 / 32;
        const float     d = half_to_float(b->d);
        const uint8_t * q = b->qs + half * 32 + i % 32;
        for (int j = 0; j < EIGHT; j++) {
            v[j] = d * (float) ((q[j] >> 2 * quarter & 3) - 1);
        }
    }
};

// Types of blocks that have a kernel here, and the names of their blocks.
#define STEER_BLOCK_TYPES(TYPE)                                                                                       \
    TYPE(Q8_0, q8_0) TYPE(Q4_0, q4_0) TYPE(Q4_1, q4_1) TYPE(Q5_0, q5_0) TYPE(Q5_1, q5_1) TYPE(Q2_K, q2_K)             \
    TYPE(Q3_K, q3_K) TYPE(Q4_K, q4_K) TYPE(Q5_K, q5_K) TYPE(Q6_K, q6_K) TYPE(IQ4_NL, iq4_nl) TYPE(IQ4_XS, iq4_xs)     \
    TYPE(TQ1_0, tq1_0) TYPE(TQ2_0, tq2_0) TYPE(MXFP4, mxfp4)

} // namespace cuda
} // namespace steer
