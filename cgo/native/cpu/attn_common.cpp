// What attn and attn_back share: the shape, the work list, packing of operands, products.

#include "attn.h"

#include <algorithm>

namespace steer {

AttnShape::AttnShape(const steer_op_params & p, const ggml_tensor * q, const ggml_tensor * k, const ggml_tensor * v,
                     const ggml_tensor * cu_, const ggml_tensor * parents_) :
    D(p.i[0]),
    H(p.i[1]),
    HK(p.i[2]),
    group(H / HK),
    T(q->ne[1]),
    Dp((D + 15) / 16 * 16),
    scale(p.f[0]),
    cap(p.f[1]),
    window(p.i[4] > 0 ? p.i[4] : NO_WINDOW),
    cu(cu_),
    parents(parents_),
    offsets(nullptr) {
    GGML_ASSERT(D > 0 && HK > 0 && H % HK == 0);
    check_activation(q, D * H, T);
    check_activation(k, D * HK, T);
    check_activation(v, D * HK, T);
    GGML_ASSERT(cu->type == GGML_TYPE_I32 && cu->ne[0] >= 1 && used() <= T);
    q_block = group <= 2 ? 32 : group <= 4 ? 16 : 8;
    bf16    = p.i[3] && kernels().gemm_bf16 && D % 2 == 0;
    GGML_ASSERT(!bf16 || scale > 0); // the largest product has the largest score
    if (!parents) {
        return;
    }
    GGML_ASSERT(parents->type == GGML_TYPE_I32 && parents->ne[0] == segments());
    int64_t * at = scratch().get<int64_t>(SLOT_SEGMENTS, segments());
    offsets      = at;
    for (int64_t s = 0; s < segments(); s++) {
        GGML_ASSERT(parent(s) >= -1 && parent(s) < s);
        at[s] = parent(s) < 0 ? 0 : end(parent(s));
    }
}

int64_t AttnShape::max_end() const {
    int64_t m = 0;
    for (int64_t s = 0; s < segments(); s++) {
        m = std::max(m, end(s));
    }
    return m;
}

int64_t AttnShape::shared(int64_t s, int64_t t) const {
    while (s != t) { // the later one is no ancestor of the other
        int64_t & later = s > t ? s : t;
        later           = parent(later);
    }
    return s < 0 ? 0 : end(s);
}

AttnPath::AttnPath(const AttnShape & a) :
    a_(a),
    rows_(a.parents ? scratch().get<int32_t>(SLOT_PATH, a.max_end()) : nullptr) {}

Rows AttnPath::of(int64_t segment) {
    if (a_.parent(segment) < 0) {
        return a_.begin(segment);
    }
    for (int64_t s = segment; s >= 0; s = a_.parent(s)) {
        for (int64_t i = 0; i < a_.length(s); i++) {
            rows_[a_.offset(s) + i] = (int32_t) (a_.begin(s) + i);
        }
    }
    return { 0, rows_ };
}

Share balanced_share(const AttnItem * items, int64_t n, int ith, int nth) {
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        total += items[i].cost;
    }
    // Item i belongs to the thread in whose interval of the cost axis its middle falls.
    Share   share(0, 0, 1);
    double  before = 0;
    int64_t begin = n, end = n;
    for (int64_t i = 0; i < n; i++) {
        const double middle = before + items[i].cost / 2;
        before += items[i].cost;
        const int owner = std::min(nth - 1, (int) (middle / total * nth));
        if (owner >= ith && begin == n) {
            begin = i;
        }
        if (owner > ith) {
            end = i;
            break;
        }
    }
    share.begin = begin;
    share.end   = std::max(begin, end);
    return share;
}

namespace {

// D numbers of one head of row r: where they lie, or converted into buf.
const float * head_of_row(const ggml_tensor * x, int64_t r, int64_t from, int64_t D, float * buf) {
    return row_widened(x, r, from, D, buf);
}

const uint16_t * head_of_row(const ggml_tensor * x, int64_t r, int64_t from, int64_t D, uint16_t * buf) {
    if (is_bf16(x)) {
        return (const uint16_t *) row_ptr(x, r) + from;
    }
    kernels().to_bf16(row_f32(x, r) + from, buf, D);
    return buf;
}

// Whether heads can be read where they lie: of the wanted type and, for items of two, at whole items.
template <class E> bool readable(const ggml_tensor * x) {
    return ggml_element_size(x) == sizeof(E) && x->nb[1] % sizeof(Item<E>) == 0 &&
           (uintptr_t) x->data % sizeof(Item<E>) == 0;
}

} // namespace

template <class E>
void pack_transposed(const ggml_tensor * x, const AttnShape & a, const Rows & at, int64_t kv_head, int64_t from,
                     int64_t to, Item<E> * panels) {
    constexpr int64_t per_k = Lanes<E>::per_k;
    const int64_t     depth = a.D / per_k;
    for (int64_t j = from; j < to; j += PANEL) {
        const int n = (int) std::min<int64_t>(PANEL, to - j);
        Item<E> * p = panels + j * depth;
        if (n < PANEL) {
            std::memset(p, 0, depth * PANEL * sizeof(Item<E>));
        }
        const Item<E> * rows   = (const Item<E> *) ((const E *) row_ptr(x, at[j]) + kv_head * a.D);
        ptrdiff_t       stride = (ptrdiff_t) (x->nb[1] / sizeof(Item<E>));
        if (!readable<E>(x) || at[j + n - 1] - at[j] != n - 1) { // to be converted, or of several segments
            E * together = scratch().get<E>(SLOT_COPY, PANEL * a.D);
            for (int i = 0; i < n; i++) {
                const E * row = head_of_row(x, at[j + i], kv_head * a.D, a.D, together + i * a.D);
                if (row != together + i * a.D) {
                    std::memcpy(together + i * a.D, row, a.D * sizeof(E));
                }
            }
            rows   = (const Item<E> *) together;
            stride = depth;
        }
        kernels().transpose32((const uint32_t *) rows, stride, n, (int) depth, (uint32_t *) p, PANEL);
    }
}

template <>
void pack_plain<float>(const ggml_tensor * x, const AttnShape & a, const Rows & at, int64_t kv_head, int64_t from,
                       int64_t to, float * rows) {
    for (int64_t j = from; j < to; j++) {
        float *       row = rows + j * a.Dp;
        const float * in  = head_of_row(x, at[j], kv_head * a.D, a.D, row);
        if (in != row) {
            std::memcpy(row, in, a.D * sizeof(float));
        }
        std::memset(row + a.D, 0, (a.Dp - a.D) * sizeof(float));
    }
}

template <>
void pack_plain<uint16_t>(const ggml_tensor * x, const AttnShape & a, const Rows & at, int64_t kv_head, int64_t from,
                          int64_t to, uint32_t * rows) {
    uint16_t * pair = scratch().get<uint16_t>(SLOT_COPY, 2 * a.D);
    for (int64_t j = from; j < to; j += 2) {
        const uint16_t * first  = head_of_row(x, at[j], kv_head * a.D, a.D, pair);
        const uint16_t * second = pair + a.D;
        if (j + 1 < to) {
            second = head_of_row(x, at[j + 1], kv_head * a.D, a.D, pair + a.D);
        } else {
            std::memset(pair + a.D, 0, a.D * sizeof(uint16_t));
        }
        uint32_t * row = rows + j / 2 * a.Dp;
        kernels().interleave(first, second, row, a.D);
        std::memset(row + a.D, 0, (a.Dp - a.D) * sizeof(uint32_t));
    }
}

template <class E>
void pack_queries(const ggml_tensor * x, const AttnShape & a, int64_t first, int64_t kv_head, int64_t t0, int64_t t1,
                  float scale, E * rows) {
    for (int64_t h = 0; h < a.group; h++) {
        for (int64_t t = t0; t < t1; t++, rows += a.Dp) {
            const E * in = head_of_row(x, first + t, (kv_head * a.group + h) * a.D, a.D, rows);
            if (in != rows) {
                std::memcpy(rows, in, a.D * sizeof(E));
            }
            std::memset(rows + a.D, 0, (a.Dp - a.D) * sizeof(E));
            if constexpr (Lanes<E>::per_k == 1) {
                if (scale != 1) {
                    kernels().scale(rows, (int) a.D, scale);
                }
            }
        }
    }
}

template void pack_transposed<float>(const ggml_tensor *, const AttnShape &, const Rows &, int64_t, int64_t, int64_t,
                                     float *);
template void pack_transposed<uint16_t>(const ggml_tensor *, const AttnShape &, const Rows &, int64_t, int64_t, int64_t,
                                        uint32_t *);
template void pack_queries<float>(const ggml_tensor *, const AttnShape &, int64_t, int64_t, int64_t, int64_t, float,
                                  float *);
template void pack_queries<uint16_t>(const ggml_tensor *, const AttnShape &, int64_t, int64_t, int64_t, int64_t, float,
                                     uint16_t *);

template <>
void score_block<float>(const AttnShape & a, int64_t n_rows, const float * rows, const float * panels, int64_t kv0,
                        int64_t n, float * S) {
    for (int64_t j = 0; j < n; j += PANEL) {
        kernels().gemm_f32((int) n_rows, (int) std::min<int64_t>(PANEL, n - j), (int) a.D, rows, a.Dp, 1,
                           panels + (kv0 + j) * a.D, PANEL, S + j, KV_BLOCK, false);
    }
}

template <>
void score_block<uint16_t>(const AttnShape & a, int64_t n_rows, const uint16_t * rows, const uint32_t * panels,
                           int64_t kv0, int64_t n, float * S) {
    for (int64_t j = 0; j < n; j += PANEL) {
        kernels().gemm_bf16((int) n_rows, (int) std::min<int64_t>(PANEL, n - j), (int) (a.D / 2), rows, a.Dp,
                            panels + (kv0 + j) * a.D / 2, PANEL, S + j, KV_BLOCK, false);
    }
}

template <>
void head_product<float>(const AttnShape & a, int64_t n_rows, int64_t depth, const float * A, ptrdiff_t am,
                         const float * B, float * C, bool accumulate) {
    for (int64_t d = 0; d < a.Dp; d += PANEL) {
        kernels().gemm_f32((int) n_rows, (int) std::min<int64_t>(PANEL, a.Dp - d), (int) depth, A, am, 1, B + d, a.Dp,
                           C + d, a.Dp, accumulate);
    }
}

template <>
void head_product<uint16_t>(const AttnShape & a, int64_t n_rows, int64_t depth, const uint16_t * A, ptrdiff_t am,
                            const uint32_t * B, float * C, bool accumulate) {
    for (int64_t d = 0; d < a.Dp; d += PANEL) {
        kernels().gemm_bf16((int) n_rows, (int) std::min<int64_t>(PANEL, a.Dp - d), (int) ((depth + 1) / 2), A, am,
                            B + d, a.Dp, C + d, a.Dp, accumulate);
    }
}

} // namespace steer
