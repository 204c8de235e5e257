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

constexpr int64_t LINE    = 64; // bytes
constexpr int64_t FETCHED = 64; // smallest depth that leaves time to fetch

// Asks for the lines of n bytes, to be read again and again, in good time.
inline void fetch(const void * p, ptrdiff_t n) {
    const char * end = (const char *) p + n;
    for (const char * line = (const char *) ((uintptr_t) p / LINE * LINE); line < end; line += LINE) {
        __builtin_prefetch(line, 0, 2);
    }
}

// The same for a tile of C, to be written: while its sums are formed there is time to fetch it.
inline void fetch_tile(const float * C, ptrdiff_t ldc, int64_t n, int lanes) {
    for (int64_t i = 0; i < n; i++, C += ldc) {
        const char * end = (const char *) (C + lanes);
        for (const char * line = (const char *) ((uintptr_t) C / LINE * LINE); line < end; line += LINE) {
            __builtin_prefetch(line, 1, 3);
        }
    }
}

// Rows at hand, [begin, end), and those that come next, [end, next).
struct RowBlock {
    int64_t begin, end, next;
    RowBlock(int64_t M, int64_t b, int64_t blocks) :
        begin(M * b / blocks),
        end(M * (b + 1) / blocks),
        next(b + 2 > blocks ? end : M * (b + 2) / blocks) {}
    int64_t size() const { return end - begin; }
};

// Fetches what comes behind the panel at column c: the next tile of C, and this panel's share of the next rows of A.
// C begins with the rows at hand.
template <class T>
void fetch_next(const Term & term, const RowBlock & m, int64_t c, int64_t cols, const float * C, ptrdiff_t ldc) {
    const Share next(m.next - m.end, (int) (c / PANEL), (int) ((cols + PANEL - 1) / PANEL));
    for (int64_t i = next.begin; i < next.end; i++) {
        fetch((const T *) term.A + (m.end + i) * term.lda, term.depth * (ptrdiff_t) sizeof(T));
    }
    if (c + PANEL < cols) {
        fetch_tile(C + c + PANEL, ldc, m.size(), (int) std::min<int64_t>(PANEL, cols - c - PANEL));
    } else {
        fetch_tile(C + m.size() * ldc, ldc, m.next - m.end, (int) std::min<int64_t>(PANEL, cols));
    }
}

// Rows that are copied from where they collide to where they do not.
template <class T> struct Copied {
    const T * rows;
    ptrdiff_t ld;
    Copied(const T * A, ptrdiff_t lda, int64_t n, int64_t depth) {
        constexpr int64_t line = LINE / (ptrdiff_t) sizeof(T);
        ld                     = ((depth + line - 1) / line | 1) * line; // an odd number of lines apart
        T * own = scratch().get<T>(SLOT_COPY, n * ld);
        for (int64_t i = 0; i < n; i++) {
            std::memcpy(own + i * ld, A + i * lda, depth * sizeof(T));
        }
        rows = own;
    }
};

// Whether the rows at hand are copied first.
template <class T> bool to_copy(const Term & term, const RowBlock & m, int64_t cols) {
    return cols > PANEL && term.depth > SLICE / (ptrdiff_t) sizeof(T) / 4 &&
           collide(term.lda * (ptrdiff_t) sizeof(T), m.size());
}

// The rows at hand of one term, a slice of the depth after the other where they are copied.
void block_f32(const Term & term, const RowBlock & m, int64_t cols, float * C, ptrdiff_t ldc, bool accumulate) {
    const bool    copy  = to_copy<float>(term, m, cols);
    const int64_t slice = copy ? SLICE / (ptrdiff_t) sizeof(float) : term.depth;
    const float * A     = (const float *) term.A + m.begin * term.lda;
    for (int64_t k = 0; k < term.depth; k += slice) {
        const int64_t d    = std::min(slice, term.depth - k);
        const float * rows = A + k;
        ptrdiff_t     ld   = term.lda;
        if (copy) {
            const Copied<float> own(A + k, term.lda, m.size(), d);
            rows = own.rows;
            ld   = own.ld;
        }
        for (int64_t c = 0; c < cols; c += PANEL) {
            const int     lanes = (int) std::min<int64_t>(PANEL, cols - c), width = panel_width(lanes);
            const float * panel = (const float *) term.panels + c / PANEL * term.stride + k * width;
            if (k == 0 && term.depth >= FETCHED) {
                fetch_next<float>(term, m, c, cols, C, ldc);
            }
            kernels().gemm_f32((int) m.size(), lanes, (int) d, rows, ld, 1, panel, width, C + c, ldc,
                               accumulate || k > 0);
        }
    }
}

// The rows at hand of some terms in bf16.
void block_bf16(const Term * terms, int n_terms, const RowBlock & m, int64_t cols, float * C, ptrdiff_t ldc,
                bool accumulate) {
    ProductBF16 products[MOST_TERMS];
    GGML_ASSERT(n_terms <= MOST_TERMS);
    for (int i = 0; i < n_terms; i++) {
        const Term & t = terms[i];
        products[i]    = { (const uint16_t *) t.A + m.begin * t.lda, t.lda, nullptr, 0, (int) (t.depth / 2) };
        if (i == 0 && to_copy<uint16_t>(t, m, cols)) {
            const Copied<uint16_t> own(products[i].A, t.lda, m.size(), t.depth);
            products[i].A  = own.rows;
            products[i].am = own.ld;
        }
    }
    for (int64_t c = 0; c < cols; c += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, cols - c);
        for (int i = 0; i < n_terms; i++) {
            products[i].B   = (const uint32_t *) terms[i].panels + c / PANEL * terms[i].stride;
            products[i].ldb = panel_width(lanes);
        }
        if (terms[0].depth >= FETCHED) {
            fetch_next<uint16_t>(terms[0], m, c, cols, C, ldc);
        }
        kernels().gemms_bf16((int) m.size(), lanes, products, n_terms, C + c, ldc, accumulate);
    }
}

} // namespace

void product(int64_t M, int64_t cols, const Term * terms, int n_terms, float * C, ptrdiff_t ldc, bool accumulate,
             const Rounded * rounded) {
    const int64_t blocks = (M + kernels().rows - 1) / kernels().rows;
    for (int64_t b = 0; b < blocks; b++) {
        const RowBlock m(M, b, blocks);
        float *        rows = rounded && rounded->brief ? C : C + m.begin * ldc;
        for (int i = 0, n; i < n_terms; i += n) {
            n = 1;
            if (!terms[i].bf16) {
                block_f32(terms[i], m, cols, rows, ldc, accumulate || i > 0);
                continue;
            }
            while (i + n < n_terms && terms[i + n].bf16) {
                n++;
            }
            block_bf16(terms + i, n, m, cols, rows, ldc, accumulate || i > 0);
        }
        for (int64_t r = m.begin; rounded && r < m.end; r++) {
            kernels().to_bf16(rows + (r - m.begin) * ldc, rounded->rows + r * rounded->ld, cols);
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
