// The table of inner loops. micro.h is compiled once for each instruction set and fills
// one table; dispatch.cpp chooses at run time.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace steer {

// Lanes of a packed panel: the columns of C that one inner loop works on.
static constexpr int PANEL = 32;

// Width a panel with `lanes` used columns is padded to.
static constexpr int panel_width(int lanes) {
    return lanes > 16 ? 32 : 16;
}

// A summand of gemms_bf16; its letters as in gemm_bf16.
struct ProductBF16 {
    const uint16_t * A;
    ptrdiff_t        am;
    const uint32_t * B;
    ptrdiff_t        ldb;
    int              pairs;
};

// A summand of dots_f32 and dots_bf16: rows w of N and x of T, `depth` numbers each.
struct DotTerm {
    const void * w;
    ptrdiff_t    ldw; // in numbers, as ldx
    const void * x;
    ptrdiff_t    ldx;
    int64_t      depth;
};

struct Kernels {
    const char * name;
    int          rows; // height of the tile of C held in registers

    // C[m*ldc + l] (+)= sum_k A[m*am + k*ak] * B[k*ldb + l],  0 <= m < M, 0 <= l < lanes <= 32.
    // B is read for panel_width(lanes) lanes. The order over k is fixed for each element.
    void (*gemm_f32)(int M, int lanes, int depth, const float * A, ptrdiff_t am, ptrdiff_t ak, const float * B,
                     ptrdiff_t ldb, float * C, ptrdiff_t ldc, bool accumulate);

    // The same in bf16: A[m*am + 2k], A[m*am + 2k+1] against the pairs B[(k*ldb + l)*2 + {0,1}],
    // 0 <= k < pairs. Null where the machine has no such instruction.
    void (*gemm_bf16)(int M, int lanes, int pairs, const uint16_t * A, ptrdiff_t am, const uint32_t * B,
                      ptrdiff_t ldb, float * C, ptrdiff_t ldc, bool accumulate);
    // One such product after the other, all added to the same C: the bits of as many calls of gemm_bf16.
    void (*gemms_bf16)(int M, int lanes, const ProductBF16 * terms, int n_terms, float * C, ptrdiff_t ldc,
                       bool accumulate);

    // dst[c*ldd + r] = src[r*lds + c] for 32-bit items.
    void (*transpose32)(const uint32_t * src, ptrdiff_t lds, int rows, int cols, uint32_t * dst, ptrdiff_t ldd);

    // dst[i*width + j] = src[i*lds + j] for j < cols, else 0; i < n, width a multiple of 16 or cols.
    void (*copy_padded)(const float * src, ptrdiff_t lds, int64_t n, int cols, float * dst, int width);

    void (*to_bf16)(const float * x, uint16_t * y, int64_t n); // round to nearest even
    void (*from_bf16)(const uint16_t * x, float * y, int64_t n);
    // dst[k] = a[k] | b[k] << 16
    void (*interleave)(const uint16_t * a, const uint16_t * b, uint32_t * dst, int64_t n);

    // Weights: n elements from the start of a block. False: this type has no own unpacker.
    bool (*unpack_f32)(int type, const void * src, float * dst, int64_t n);
    bool (*unpack_bf16)(int type, const void * src, uint16_t * dst, int64_t n);

    float (*row_max)(const float * x, int n);
    float (*dot)(const float * a, const float * b, int n);
    void (*scale)(float * x, int n, float a);
    void (*axpy)(float * y, const float * x, int n, float a); // y += a x

    // x = exp(x*a - b); returns the sum.
    float (*exp_sum)(float * x, int n, float a, float b);
    // x = exp((x - max)*a); returns the sum.
    float (*exp_below)(float * x, int n, float a, float max);
    // e_i = exp((x_i - max)*a); sum = sum e_i; sum_x = sum e_i (x_i - max) a. x is kept.
    void (*exp_sums)(const float * x, int n, float a, float max, float * sum, float * sum_x);
    // e_i = exp((x_i - max)*a); sum = sum e_i; sum_d = sum e_i (x_i - y_i) a.
    void (*exp_sums_diff)(const float * x, const float * y, int n, float a, float max, float * sum, float * sum_d);

    // dp = p * (dp - delta)
    void (*softmax_back)(const float * p, float * dp, int n, float delta);
    // l = a * (-g_lp p - g_ent p (log p + entropy)),  log p = a l - lse
    void (*logprob_back)(float * l, int n, float a, float lse, float g_lp, float g_ent, float entropy);

    // y = w x / sqrt(mean(x^2) + eps)
    void (*rms_norm)(const float * x, const float * w, float * y, int n, float eps);
    // Pairs (2i, 2i+1) of x rotated by table's (cos, sin), the sine times sign; n even.
    void (*rotate_pairs)(const float * x, const float * table, float * y, int n, float sign);
    void (*swiglu)(const float * gate, const float * up, float * y, int n);
    void (*rms_back)(const float * x, const float * w, const float * dy, float * dx, int n, float eps,
                     bool accumulate);
    void (*swiglu_back)(const float * gate, const float * up, const float * dy, float * d_gate, float * d_up, int n);
    void (*geglu)(const float * gate, const float * up, float * y, int n);
    void (*geglu_back)(const float * gate, const float * up, const float * dy, float * d_gate, float * d_up, int n);
    void (*add)(const float * a, const float * b, float * y, int n);
    // x = cap tanh(a x / cap), and the slope 1 - tanh^2 of it unless null
    void (*cap)(float * x, float * slope, int n, float a, float cap);
    void (*multiply)(float * x, const float * by, int n); // x *= by

    // y = keep(k0+i) ? x * scale : 0, or y += the same
    void (*dropout)(const float * x, float * y, int n, uint32_t k0, uint32_t key_a, uint32_t key_b,
                    uint32_t threshold, float scale, bool accumulate);

    void (*adamw)(float * p, const float * g, float * m, float * v, int64_t n, float decay, float step_size, float b1,
                  float one_minus_b1, float b2, float one_minus_b2, float eps, float inv_sqrt_c2, float gscale);

    // Decoding (micro_decode.h).

    // o[h*ldo + d] = sum_j p_hj v_j[d], p_h = softmax_j(scale q_h . k_j), over the n half-precision rows
    // k + cells[j]*k_step, v + cells[j]*v_step (steps in bytes) of D numbers; h < heads.
    // Scores become cap tanh(score / cap) if cap > 0. s: scratch for 4 * (n rounded up to 4) scores.
    void (*attn_cells)(int heads, int D, const float * q, ptrdiff_t ldq, const void * k, ptrdiff_t k_step,
                       const void * v, ptrdiff_t v_step, const int32_t * cells, int n, float scale, float cap,
                       float * s, float * o, ptrdiff_t ldo);

    // y[t*ldy + n] = from[t*ldf + n] + sum over terms, sum_k w[n*ldw + k] x[t*ldx + k],  n < N, t < T.
    // from: nullptr for 0; may be y. The order of the sum of an element depends on the terms' depths
    // alone: not on N, on T, or on where the element lies.
    void (*dots_f32)(int N, int T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf, float * y,
                     ptrdiff_t ldy);
    // The same of bf16 numbers. Null where gemm_bf16 is.
    void (*dots_bf16)(int N, int T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf, float * y,
                      ptrdiff_t ldy);

    // Rows whose results are bf16 (micro_bf16.h). Null where gemm_bf16 is.

    // p_i = exp(a s_i - b) for i < valid, 0 up to n made a multiple of 32; returns their sum before the rounding.
    float (*softmax_bf16)(const float * s, int valid, int n, float a, float b, uint16_t * p);
    // p_i = exp(a s_i - lse), ds_i = p_i (dp_i - delta) for i < valid, 0 up to n made a multiple of 32.
    void (*softmax_back_bf16)(const float * s, const float * dp, int valid, int n, float a, float lse, float delta,
                              uint16_t * p, uint16_t * ds);
    // exp_sums with e rounded, but for x_but (no entry: < 0) of which e is 0; returns the sum of the others.
    float (*exp_sums_bf16)(const float * x, int n, float a, float max, int but, float * sum, float * sum_x,
                           uint16_t * e);
    // swiglu and swiglu_back between bf16 rows.
    void (*swiglu_bf16)(const uint16_t * gate, const uint16_t * up, uint16_t * y, int n);
    void (*swiglu_back_bf16)(const uint16_t * gate, const uint16_t * up, const float * dy, uint16_t * d_gate,
                             uint16_t * d_up, int n);
    // geglu and geglu_back between bf16 rows.
    void (*geglu_bf16)(const uint16_t * gate, const uint16_t * up, uint16_t * y, int n);
    void (*geglu_back_bf16)(const uint16_t * gate, const uint16_t * up, const float * dy, uint16_t * d_gate,
                            uint16_t * d_up, int n);
};

extern const Kernels kernels_portable;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx512bf16;
#endif

// The table in use.
const Kernels & kernels();

} // namespace steer
