// One block of rows at a time goes through all panels while it lies in the first-level
// cache. Rows a multiple of 1 kB apart or so fall on the same few cache sets and throw
// one another out; such blocks are copied first.

#include "product.h"

#include <algorithm>

namespace steer {

namespace {

constexpr ptrdiff_t SLICE = 1024; // bytes of a row copied at a time

// Whether n rows this far apart share cache sets (64 sets of 64 bytes) more than thrice.
bool collide(ptrdiff_t row_bytes, int64_t n) {
    int count[64] = {};
    int worst     = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = std::max(worst, ++count[i * row_bytes / 64 % 64]);
    }
    return worst > 3;
}

template <class T, class Tile>
void product(int64_t M, int64_t cols, int64_t depth, const T * A, ptrdiff_t lda, ptrdiff_t per_k, ptrdiff_t stride,
             float * C, ptrdiff_t ldc, bool accumulate, Tile tile) {
    constexpr int64_t slice  = SLICE / (ptrdiff_t) sizeof(T);
    constexpr int64_t ld_own = slice + 64 / (ptrdiff_t) sizeof(T);
    const int64_t     blocks = (M + kernels().rows - 1) / kernels().rows;
    for (int64_t b = 0; b < blocks; b++) {
        const Share   m(M, (int) b, (int) blocks);
        const int64_t n    = m.end - m.begin;
        const bool    copy = cols > PANEL && depth > slice / 4 && collide(lda * (ptrdiff_t) sizeof(T), n);
        T *           own  = copy ? scratch().get<T>(SLOT_COPY, n * ld_own) : nullptr;
        const int64_t step = copy ? slice : depth;
        for (int64_t k = 0; k < depth; k += step) {
            const int64_t d = std::min(step, depth - k);
            const T *     a = A + m.begin * lda + k;
            for (int64_t i = 0; copy && i < n; i++) {
                std::memcpy(own + i * ld_own, a + i * lda, d * sizeof(T));
            }
            for (int64_t c = 0; c < cols; c += PANEL) {
                const int lanes = (int) std::min<int64_t>(PANEL, cols - c);
                tile((int) n, lanes, (int) d, copy ? own : a, copy ? ld_own : lda,
                     c / PANEL * stride + k / per_k * panel_width(lanes), C + m.begin * ldc + c, accumulate || k > 0);
            }
        }
    }
}

} // namespace

void product_f32(int64_t M, int64_t cols, int64_t depth, const float * A, ptrdiff_t lda, const float * B,
                 ptrdiff_t stride, float * C, ptrdiff_t ldc, bool accumulate) {
    const Kernels & kern = kernels();
    product(M, cols, depth, A, lda, 1, stride, C, ldc, accumulate,
            [&](int n, int lanes, int d, const float * a, ptrdiff_t ld, ptrdiff_t at, float * c, bool acc) {
                kern.gemm_f32(n, lanes, d, a, ld, 1, B + at, panel_width(lanes), c, ldc, acc);
            });
}

void product_bf16(int64_t M, int64_t cols, int64_t depth, const uint16_t * A, ptrdiff_t lda, const uint32_t * B,
                  ptrdiff_t stride, float * C, ptrdiff_t ldc, bool accumulate) {
    const Kernels & kern = kernels();
    product(M, cols, depth, A, lda, 2, stride, C, ldc, accumulate,
            [&](int n, int lanes, int d, const uint16_t * a, ptrdiff_t ld, ptrdiff_t at, float * c, bool acc) {
                kern.gemm_bf16(n, lanes, d / 2, a, ld, B + at, panel_width(lanes), c, ldc, acc);
            });
}

} // namespace steer
