// attn: causal attention over sequences laid end to end, grouped-query.
//   s_ij = scale q_i.k_j,  j <= i of the same sequence;  lse_i = log sum_j exp(s_ij)
//   with a cap, f1 > 0: s_ij = cap tanh(scale q_i.k_j / cap);  with a window, i4 > 0: i - i4 < j <= i
//   o_i = sum_j exp(s_ij - lse_i) v_j;  head h reads kv head h / (H/HK)
//   dst [D*H + H, T]: o (D*H values), then lse of each head
//   f0 = scale, i0 = D, i1 = H, i2 = HK, i3 = products in bf16 where the machine can
//   src0 q [D*H,T], src1 k [D*HK,T], src2 v [D*HK,T], f32 or bf16, src3 cu I32 [S+1], (src4 parents I32 [S])
//
// With parents, sequences that begin alike share what they have in common: cu bounds segments,
// and a query of segment s sees, before its own, all keys of parents[s] (< s; -1: none), of that
// one's parent, and so on up to the root.
//
// Online softmax over blocks of keys (Milakov and Gimelshein 2018; Dao et al. 2022).
// An item is a block of queries of all heads that share a kv head. Blocks of keys and of queries
// lie on a grid of positions, counted from the root: every sum has the terms, in the order, that
// it would have if each sequence were laid out whole, and results are bit-equal to that.

#include "attn.h"

#include <algorithm>
#include <cmath>

namespace steer {

namespace {

// Work space of one thread.
template <class E> struct Forward {
    const AttnShape & a;
    ggml_tensor *     dst;
    Item<E> *         kt;   // keys, panels
    Item<E> *         v;    // values, rows
    E *               q;    // [rows][Dp]
    E *               P;    // [rows][KV_BLOCK] weights before their division by sum; f32: S
    float *           o;    // [rows][Dp]
    float *           S;    // [rows][KV_BLOCK]
    float *           m;    // [rows] running maximum
    double *          sum;  // [rows] running sum of exp
};

// The row's scores of n keys, of which it sees `valid`, become weights; returns their sum.
float weigh(const Forward<float> & f, int64_t r, int valid, int64_t n, float m) {
    float *     s   = f.S + r * KV_BLOCK;
    const float sum = kernels().exp_sum(s, valid, 1, m);
    std::memset(s + valid, 0, (n - valid) * sizeof(float));
    return sum;
}

float weigh(const Forward<uint16_t> & f, int64_t r, int valid, int64_t n, float m) {
    return kernels().softmax_bf16(f.S + r * KV_BLOCK, valid, (int) n, scale_in_softmax<uint16_t>(f.a), m,
                                  f.P + r * KV_BLOCK);
}

// A row that sees none of n keys.
template <class E> void no_weights(const Forward<E> & f, int64_t r, int64_t n) {
    std::memset(f.P + r * KV_BLOCK, 0, std::min(KV_BLOCK, (n + PANEL - 1) / PANEL * PANEL) * sizeof(E));
}

// Queries of positions [t0, t1); position p lies in row first + p.
template <class E> void forward_block(const Forward<E> & f, int64_t first, int64_t kv_head, int64_t t0, int64_t t1) {
    const AttnShape & a  = f.a;
    const int64_t     nt = t1 - t0, rows = nt * a.group;
    const Kernels &   kern  = kernels();
    const float       scale = scale_in_softmax<E>(a);
    const int64_t     begin = a.first_keys(t0);
    for (int64_t r = 0; r < rows; r++) {
        f.m[r]   = -INFINITY;
        f.sum[r] = 0;
    }
    for (int64_t kv = begin; kv < t1; kv += KV_BLOCK) {
        const int64_t n = std::min(KV_BLOCK, t1 - kv);
        score_block<E>(a, rows, f.q, f.kt, kv, n, f.S);
        for (int64_t r = 0; r < rows; r++) {
            const int   valid  = (int) std::min(n, t0 + r % nt + 1 - kv);
            const int   hidden = (int) a.hidden(t0 + r % nt, kv, n);
            if (hidden >= valid) {
                no_weights(f, r, n);
                continue;
            }
            if (a.cap > 0) {
                kern.cap(f.S + r * KV_BLOCK, nullptr, valid, scale_of_scores<E>(a), a.cap);
            }
            std::fill_n(f.S + r * KV_BLOCK, hidden, HIDDEN);
            const float m     = std::max(f.m[r], kern.row_max(f.S + r * KV_BLOCK, valid) * scale);
            const float keep  = std::exp(f.m[r] - m); // exp(-inf) = 0 at the first block
            f.sum[r]          = f.sum[r] * keep + weigh(f, r, valid, n, m);
            if (kv > begin && keep != 1) {
                kern.scale(f.o + r * a.Dp, (int) a.Dp, keep);
            }
            f.m[r] = m;
        }
        head_product<E>(a, rows, n, f.P, KV_BLOCK, f.v + kv / Lanes<E>::per_k * a.Dp, f.o, kv > begin);
    }
    for (int64_t h = 0; h < a.group; h++) {
        const int64_t head = kv_head * a.group + h;
        for (int64_t t = 0; t < nt; t++) {
            const int64_t r   = h * nt + t;
            float *       out = row_f32(f.dst, first + t0 + t);
            kern.scale(f.o + r * a.Dp, (int) a.D, (float) (1 / f.sum[r]));
            std::memcpy(out + head * a.D, f.o + r * a.Dp, a.D * sizeof(float));
            out[a.D * a.H + head] = f.m[r] + (float) std::log(f.sum[r]);
        }
    }
}

// The items of one thread.
template <class E>
void forward_items(ggml_tensor * dst, const AttnShape & a, const AttnItem * items, const Share & share) {
    const ggml_tensor *q = dst->src[0], *k = dst->src[1], *v = dst->src[2];
    const int64_t rows = a.q_block * a.group, Lp = (a.max_end() + PANEL - 1) / PANEL * PANEL;
    Scratch &     mem = scratch();
    float *       S   = mem.get<float>(SLOT_C, rows * KV_BLOCK);
    // One panel beyond the end: rows of fewer than 32 lanes are read whole.
    const Forward<E> f{ a,
                     dst,
                     mem.get<Item<E>>(SLOT_PANEL, Lp * a.D),
                     mem.get<Item<E>>(SLOT_ROWS, Lp * a.Dp + PANEL),
                     mem.get<E>(SLOT_A, rows * a.Dp),
                     Lanes<E>::per_k == 1 ? (E *) S : mem.get<E>(SLOT_F, rows * KV_BLOCK),
                     mem.get<float>(SLOT_B, rows * a.Dp),
                     S,
                     mem.get<float>(SLOT_D, rows),
                     mem.get<double>(SLOT_E, rows) };
    AttnPath      path(a);
    Rows          keys = 0;
    int64_t       s = -1, kv_head = -1, packed = 0;
    for (int64_t i = share.begin; i < share.end; i++) {
        const AttnItem & item = items[i];
        if (item.s != s || item.kv_head != kv_head) {
            const int64_t kept = item.kv_head == kv_head ? std::min(packed, a.shared(s, item.s)) : 0;
            packed             = kept / PANEL * PANEL;
            s                  = item.s;
            kv_head            = item.kv_head;
            keys               = path.of(s);
        }
        const int64_t first = a.begin(s) - a.offset(s);
        const int64_t t0 = std::max(a.offset(s), item.block * a.q_block),
                      t1 = std::min(a.end(s), (item.block + 1) * a.q_block);
        // Whole panels at a time, so that none is packed in two parts.
        const int64_t need = std::min(a.end(s), (t1 + PANEL - 1) / PANEL * PANEL);
        if (packed < need) {
            pack_transposed<E>(k, a, keys, kv_head, packed, need, f.kt);
            pack_plain<E>(v, a, keys, kv_head, packed, need, f.v);
            packed = need;
        }
        pack_queries<E>(q, a, first, kv_head, t0, t1, scale_of_queries<E>(a), f.q);
        forward_block<E>(f, first, kv_head, t0, t1);
    }
}

// Blocks of queries, tree by tree, head by head: what segments share is packed once.
AttnItems forward_plan(const AttnShape & a) {
    AttnItems     items((a.T / a.q_block + 2 * a.segments() + 1) * a.HK);
    const int64_t S = a.segments();
    for (int64_t root = 0, next; root < S; root = next) {
        for (next = root + 1; next < S && a.parent(next) >= 0;) {
            next++;
        }
        for (int64_t hk = 0; hk < a.HK; hk++) {
            for (int64_t s = root; s < next; s++) {
                const int64_t end = a.end(s);
                for (int64_t t0 = a.offset(s), t1; t0 < end; t0 = t1) {
                    t1 = std::min(end, (t0 / a.q_block + 1) * a.q_block);
                    items.add(s, hk, t0 / a.q_block, 0, (double) (t1 - t0) * (double) (t1 - a.first_keys(t0)));
                }
            }
        }
    }
    return items;
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_cpu_attn(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *q = dst->src[0], *k = dst->src[1], *v = dst->src[2];
    const AttnShape    a(params_of(dst), q, k, v, dst->src[3], dst->src[4]);
    check_f32(dst, a.D * a.H + a.H, a.T);

    const Share unused(a.T - a.used(), ith, nth);
    for (int64_t t = a.used() + unused.begin; t < a.used() + unused.end; t++) {
        std::memset(row_f32(dst, t), 0, dst->ne[0] * sizeof(float));
    }

    AttnItems   items = forward_plan(a);
    const Share share = balanced_share(items.begin(), items.size(), ith, nth);
    if (share.begin == share.end) {
        return;
    }

    (a.bf16 ? forward_items<uint16_t> : forward_items<float>) (dst, a, items.begin(), share);
}
