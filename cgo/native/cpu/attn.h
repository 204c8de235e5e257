// Shared by the attention operations: shapes, blocks, packed keys and values, work lists.
#pragma once

#include "common.h"

#include <algorithm>

namespace steer {

// Keys are walked in blocks of KV_BLOCK; a block of queries never straddles one.
static constexpr int64_t KV_BLOCK = 128;

struct AttnShape {
    int64_t             D, H, HK, group, T; // head size, heads, kv heads, heads a kv head, tokens
    int64_t             Dp;                 // D padded to whole panels' widths
    int64_t             q_block;            // query tokens at a time; all heads of the group go together
    float               scale;
    float               cap;    // of scores; 0: none
    int64_t             window; // tokens that a query sees, itself included
    bool                bf16;   // products in bf16 with f32 sums; softmax and sums are f32
    const ggml_tensor * cu;
    const ggml_tensor * parents; // of the segments; null: each is a sequence of its own
    const int64_t *     offsets; // position of each segment's first token; null: 0

    AttnShape(const steer_op_params & p, const ggml_tensor * q, const ggml_tensor * k, const ggml_tensor * v,
              const ggml_tensor * cu, const ggml_tensor * parents = nullptr);
    int64_t segments() const { return cu->ne[0] - 1; }
    int64_t begin(int64_t s) const { return ints(cu)[s]; }
    int64_t length(int64_t s) const { return ints(cu)[s + 1] - ints(cu)[s]; }
    int64_t used() const { return ints(cu)[segments()]; }
    int64_t parent(int64_t s) const { return parents ? ints(parents)[s] : -1; }
    // Positions of a segment's tokens, [offset, end).
    int64_t offset(int64_t s) const { return offsets ? offsets[s] : 0; }
    int64_t end(int64_t s) const { return offset(s) + length(s); }
    int64_t max_end() const;
    // The first block of keys that a query at this position sees, or one of its block of queries: the same
    // wherever a segment cuts that block, so that every sum begins alike.
    int64_t first_keys(int64_t position) const {
        return std::max<int64_t>(0, position / q_block * q_block + 1 - window) / KV_BLOCK * KV_BLOCK;
    }
    // Of n keys from kv on: those before the window of a query at this position.
    int64_t hidden(int64_t position, int64_t kv, int64_t n) const {
        return std::min(n, std::max<int64_t>(0, position + 1 - window - kv));
    }
    // Positions that the paths of two segments (or none, -1) share from the root on.
    int64_t shared(int64_t s, int64_t t) const;
};

// Rows of a batch by position: one behind the other from row `first` on, or as listed.
struct Rows {
    int64_t         first;
    const int32_t * listed;
    Rows(int64_t first, const int32_t * listed = nullptr) : first(first), listed(listed) {}
    int64_t operator[](int64_t position) const { return listed ? listed[position] : first + position; }
};

// The rows of a segment's ancestors and its own, by position.
class AttnPath {
  public:
    explicit AttnPath(const AttnShape & a);
    // Valid until the next call.
    Rows of(int64_t segment);

  private:
    const AttnShape & a_;
    int32_t *         rows_;
};

// One unit of work. Which: 0 forward or whole backward, 1 queries only, 2 keys only.
struct AttnItem {
    int32_t s, kv_head, block, which;
    double  cost;
};

// Cuts the list into nth contiguous parts of about equal cost: thread ith's part.
Share balanced_share(const AttnItem * items, int64_t n, int ith, int nth);

// A list of items in scratch memory; a second list of the same thread takes its place.
class AttnItems {
  public:
    explicit AttnItems(int64_t capacity) : items_(scratch().get<AttnItem>(SLOT_ITEMS, capacity)) {}
    void add(int64_t s, int64_t kv_head, int64_t block, int which, double cost) {
        items_[n_++] = { (int32_t) s, (int32_t) kv_head, (int32_t) block, which, cost };
    }
    AttnItem *       begin() { return items_; }
    int64_t          size() const { return n_; }

  private:
    AttnItem * items_;
    int64_t    n_ = 0;
};

// Operands of the products, f32 or bf16. A row operand has elements E; the panel or row of
// the other side has Items: in bf16 two successive k share one.
template <class E> struct Lanes;
template <> struct Lanes<float> {
    using Item                 = float;
    static constexpr int per_k = 1; // k an item
};
template <> struct Lanes<uint16_t> {
    using Item                 = uint32_t;
    static constexpr int per_k = 2;
};
template <class E> using Item = typename Lanes<E>::Item;

// The scale of scores is part of the queries in f32; in bf16 it comes behind the product, so that what is
// bf16 already is not rounded again.
template <class E> inline float scale_of_queries(const AttnShape & a) { return Lanes<E>::per_k == 1 ? a.scale : 1; }
template <class E> inline float scale_of_scores(const AttnShape & a) { return Lanes<E>::per_k == 1 ? 1 : a.scale; }
// What softmax multiplies scores with: capping has scaled them already.
template <class E> inline float scale_in_softmax(const AttnShape & a) { return a.cap > 0 ? 1 : scale_of_scores<E>(a); }

static constexpr float HIDDEN = -1e30f; // score of a key before the window: its weight is 0
static constexpr int64_t NO_WINDOW = INT64_MAX / 4;

// Positions [from, to) of one kv head, f32 or bf16, turned into panels [D / per_k][32] of 32 tokens each, for
// products over D; `from` is a multiple of 32.
template <class E>
void pack_transposed(const ggml_tensor * x, const AttnShape & a, const Rows & at, int64_t kv_head, int64_t from,
                     int64_t to, Item<E> * panels);
// The same rows [token / per_k][Dp], padded with zeros, for products over tokens.
template <class E>
void pack_plain(const ggml_tensor * x, const AttnShape & a, const Rows & at, int64_t kv_head, int64_t from, int64_t to,
                Item<E> * rows);
// Queries of positions [t0, t1), in rows from `first` on, of every head of the group, times `scale` (1 in bf16):
// rows[(head - kv_head*group) * (t1-t0) + (t - t0)][Dp]. x may be q or dO.
template <class E>
void pack_queries(const ggml_tensor * x, const AttnShape & a, int64_t first, int64_t kv_head, int64_t t0, int64_t t1,
                  float scale, E * rows);

// S[row][0..n) = rows . panels, keys kv0 .. kv0+n-1; rows are Dp apart, S rows KV_BLOCK.
template <class E>
void score_block(const AttnShape & a, int64_t n_rows, const E * rows, const Item<E> * panels, int64_t kv0, int64_t n,
                 float * S);
// C[row][0..D) (+)= sum_k A[row*am + k] B[k][0..D), B and C rows Dp apart; in bf16 an odd
// depth is rounded up: A and B have a zero there.
template <class E>
void head_product(const AttnShape & a, int64_t n_rows, int64_t depth, const E * A, ptrdiff_t am, const Item<E> * B,
                  float * C, bool accumulate);

} // namespace steer
