// The product of rows of activations with several packed panels.
#pragma once

#include "common.h"

namespace steer {

// One summand of a product: A [M][depth] against panels.
//
// The columns of the result are cut into panels of 32, `stride` 32-bit items apart: panel p
// holds [depth][panel_width(lanes)], lanes = the columns left for it, at most 32. In bf16 an
// item holds two successive k and depth must be even. All panels together should fit the
// second-level cache.
struct Term {
    bool         bf16;
    const void * A;
    ptrdiff_t    lda; // in elements of A
    const void * panels;
    ptrdiff_t    stride;
    int64_t      depth;
};

static constexpr int MOST_TERMS = 5;

// Where a product is wanted in bf16: C then only holds the sums, or, if `brief`, those of the
// kernels().rows rows at hand.
struct Rounded {
    uint16_t * rows;
    ptrdiff_t  ld;
    bool       brief;
};

// C[m*ldc + c] (+)= sum over terms, sum_k A[m*lda + k] * B[k][c],  0 <= m < M, 0 <= c < cols.
void product(int64_t M, int64_t cols, const Term * terms, int n_terms, float * C, ptrdiff_t ldc, bool accumulate,
             const Rounded * rounded = nullptr);

// The same with one term.
void product_f32(int64_t M, int64_t cols, int64_t depth, const float * A, ptrdiff_t lda, const float * B,
                 ptrdiff_t stride, float * C, ptrdiff_t ldc, bool accumulate);
void product_bf16(int64_t M, int64_t cols, int64_t depth, const uint16_t * A, ptrdiff_t lda, const uint32_t * B,
                  ptrdiff_t stride, float * C, ptrdiff_t ldc, bool accumulate);

} // namespace steer
