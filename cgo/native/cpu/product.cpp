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

inline void tile(int n, int lanes, int d, const uint16_t * a, ptrdiff_t ld, const char * panel, float * c, ptrdiff_t ldc,
                 bool accumulate) {
    kernels().gemm_bf16(n, lanes, d / 2, a, ld, (const uint32_t *) panel, panel_width(lanes), c, ldc, accumulate);
}

inline void tile(int n, int lanes, int d, const float * a, ptrdiff_t ld, const char * panel, float * c, ptrdiff_t ldc,
                 bool accumulate) {
    kernels().gemm_f32(n, lanes, d, a, ld, 1, (const float *) panel, panel_width(lanes), c, ldc, accumulate);
}

// Rows [m0, m1) of one term.
template <class T>
void block(const Term & term, int64_t m0, int64_t m1, int64_t cols, float * C, ptrdiff_t ldc, bool accumulate) {
    constexpr int64_t slice  = SLICE / (ptrdiff_t) sizeof(T);
    constexpr int64_t ld_own = slice + 64 / (ptrdiff_t) sizeof(T);
    constexpr int64_t per_k  = 4 / (int64_t) sizeof(T); // k an item
    const int64_t     n      = m1 - m0;
    const T *         A      = (const T *) term.A + m0 * term.lda;
    const bool copy = cols > PANEL && term.depth > slice / 4 && collide(term.lda * (ptrdiff_t) sizeof(T), n);
    T *        own  = copy ? scratch().get<T>(SLOT_COPY, n * ld_own) : nullptr;
    for (int64_t k = 0, step = copy ? slice : term.depth; k < term.depth; k += step) {
        const int64_t d = std::min(step, term.depth - k);
        for (int64_t i = 0; copy && i < n; i++) {
            std::memcpy(own + i * ld_own, A + i * term.lda + k, d * sizeof(T));
        }
        for (int64_t c = 0; c < cols; c += PANEL) {
            const int    lanes = (int) std::min<int64_t>(PANEL, cols - c);
            const char * panel = (const char *) term.panels + 4 * (c / PANEL * term.stride + k / per_k * panel_width(lanes));
            tile((int) n, lanes, (int) d, copy ? own : A + k, copy ? ld_own : term.lda, panel, C + m0 * ldc + c, ldc,
                 accumulate || k > 0);
        }
    }
}

} // namespace

void product(int64_t M, int64_t cols, const Term * terms, int n_terms, float * C, ptrdiff_t ldc, bool accumulate) {
    const int64_t blocks = (M + kernels().rows - 1) / kernels().rows;
    for (int64_t b = 0; b < blocks; b++) {
        const Share m(M, (int) b, (int) blocks);
        for (int i = 0; i < n_terms; i++) {
            (terms[i].bf16 ? block<uint16_t> : block<float>) (terms[i], m.begin, m.end, cols, C, ldc, accumulate || i > 0);
        }
    }
}

void product_f32(int64_t M, int64_t cols, int64_t depth, const float * A, ptrdiff_t lda, const float * B,
                 ptrdiff_t stride, float * C, ptrdiff_t ldc, bool accumulate) {
    const Term term = { false, A, lda, B, stride, depth };
    product(M, cols, &term, 1, C, ldc, accumulate);
}

void product_bf16(int64_t M, int64_t cols, int64_t depth, const uint16_t * A, ptrdiff_t lda, const uint32_t * B,
                  ptrdiff_t stride, float * C, ptrdiff_t ldc, bool accumulate) {
    const Term term = { true, A, lda, B, stride, depth };
    product(M, cols, &term, 1, C, ldc, accumulate);
}

} // namespace steer
