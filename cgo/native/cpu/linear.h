// Shared by linear and linear_back: which arithmetic, how the work is cut, LoRA pairs.
#pragma once

#include "product.h"
#include "weights.h"

namespace steer {

// How the activations of a product are fed to the matrix kernels.
enum class Feed {
    F32,   // exact path
    BF16,  // bf16 dot product
    WIDEN, // bf16 activations on a machine (or a depth) without it: widened to f32
};

Feed feed_of(const ggml_tensor * x, int64_t depth);

// The part of one thread: some groups of columns of the output, for some tokens. Work on
// `groups` groups and T tokens is cut into as few token chunks as keep nth threads evenly
// busy; calls f(first group, end group, first token, end token), once or a few times.
template <class F> void each_part(int64_t groups, int64_t T, int ith, int nth, F f);
int64_t token_chunks(int64_t groups, int64_t T, int nth);

// Tokens taken at a time: all, or what is widened at a time.
int64_t tokens_at_once(Feed feed, int64_t T);

// Rows [t0, t1) of x as f32 and their distance: widened into scratch if they are bf16.
struct Rows {
    const float * data;
    ptrdiff_t     ld;
};
Rows rows_f32(const ggml_tensor * x, Feed feed, int64_t t0, int64_t t1, Slot slot = SLOT_I);

// How many columns and how much depth are unpacked at a time: at most 336 kB of panels.
static constexpr int64_t PANEL_ITEMS = 84 * 1024; // 32-bit items

// n cut into as few nearly equal pieces of at most `most` as can be: their length, a multiple of
// unit. A thin rest would read all the rest of the product's operands for little work.
inline int64_t even_piece(int64_t n, int64_t most, int64_t unit) {
    most                 = most / unit > 1 ? most / unit * unit : unit;
    const int64_t pieces = (n + most - 1) / most;
    return (n + pieces * unit - 1) / (pieces * unit) * unit;
}

// The LoRA pairs that ride along with a frozen matrix: summands of small depth.
class LoraTerms {
  public:
    static constexpr int MOST = MOST_TERMS - 1;

    // Pairs dst->src[at], dst->src[at+1], ...: matrix and its activations [r,T].
    // by_column: the matrix is [r, columns] (B), else [columns, r] (A).
    LoraTerms(const ggml_tensor * dst, int at, bool by_column, int64_t t0, int64_t t1);
    // Puts the terms of columns [c0, c0 + cols) behind `terms`; returns how many.
    int add(Term * terms, int64_t c0, int64_t cols);

  private:
    struct Pair {
        const ggml_tensor * matrix;
        const ggml_tensor * h;
        Feed                feed;
        Rows                rows; // unless bf16
        int64_t             rank;
    };
    bool    by_column_;
    int     n_ = 0;
    int64_t t0_;
    Pair    pairs_[MOST];
};

template <class F> void each_part(int64_t groups, int64_t T, int ith, int nth, F f) {
    const int64_t chunks = token_chunks(groups, T, nth);
    const Share   share(groups * chunks, ith, nth); // unit u: chunk u / groups, group u % groups
    for (int64_t u = share.begin; u < share.end;) {
        const int64_t chunk = u / groups, end = share.end < (chunk + 1) * groups ? share.end : (chunk + 1) * groups;
        const Share   t(T, (int) chunk, (int) chunks);
        f(u - chunk * groups, end - chunk * groups, t.begin, t.end);
        u = end;
    }
}

} // namespace steer
