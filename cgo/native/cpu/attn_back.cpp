// attn_back: gradient of attn with respect to q, k, v.
//   p_ij = exp(s_ij - lse_i);  dp_ij = dO_i.v_j;  delta_i = dO_i.o_i
//   ds_ij = p_ij (dp_ij - delta_i), times 1 - (s_ij/cap)^2 with a cap
//   dq_i = scale sum_j ds_ij k_j;  dk_j = scale sum_i ds_ij q_i;  dv_j = sum_i p_ij dO_i
//   dst [D*H + 2*D*HK, T] = dq | dk | dv
//   src0 dO [D*H,T], src1 q, src2 k, src3 v, f32 or bf16, src4 out (dst of attn), src5 cu I32 [S+1]
//
// An item is one kv head of one sequence. Where there are too few of them, blocks of
// queries (for dq) and blocks of keys (for dk, dv) are items instead and compute p and
// dp twice; every sum runs over the same blocks in the same order, so that both ways
// give the same bits.

#include "attn.h"

#include <algorithm>

using namespace steer;

namespace {

template <class E> struct Backward {
    const AttnShape &   a;
    ggml_tensor *       dst;
    const ggml_tensor * dO;
    const ggml_tensor * q;
    const ggml_tensor * out;
    Item<E> *           kt;    // keys, panels
    Item<E> *           vt;    // values, panels
    Item<E> *           k;     // keys, rows
    E *                 qs;    // [rows][Dp], queries times scale_of_queries
    E *                 go;    // [rows][Dp], dO
    Item<E> *           qi;    // the same for sums over rows, [rows / per_k][Dp]; f32: qs
    Item<E> *           gi;    // f32: go
    float *             dq;    // [rows][Dp]
    float *             S;     // [rows][KV_BLOCK], scores
    float *             dp;    // [rows][KV_BLOCK]
    E *                 P;     // [rows][KV_BLOCK], in bf16 one row more; f32: S
    E *                 dS;    // the same; f32: dp
    Item<E> *           St;    // bf16: turned, [KV_BLOCK][rows / 2], behind it the same before turning
    float *             delta; // [rows], then lse [rows]
    float *             slope; // [KV_BLOCK], of capped scores
    float *             dk;    // [length][Dp]
    float *             dv;    // [length][Dp]
};

void items_of_rows(const AttnShape &, int64_t, const float *, float *) {} // f32: the rows serve both products

// Pairs of rows interleaved: [rows / 2][Dp]; a row behind the last is 0.
void items_of_rows(const AttnShape & a, int64_t rows, const uint16_t * x, uint32_t * items) {
    const uint16_t * none = nullptr;
    if (rows % 2) {
        uint16_t * zeros = scratch().get<uint16_t>(SLOT_COPY, a.Dp);
        std::memset(zeros, 0, a.Dp * sizeof(uint16_t));
        none = zeros;
    }
    for (int64_t r = 0; r < rows; r += 2) {
        kernels().interleave(x + r * a.Dp, r + 1 < rows ? x + (r + 1) * a.Dp : none, items + r / 2 * a.Dp, a.Dp);
    }
}

// Queries [t0, t1) and what belongs to them.
template <class E> void load_queries(const Backward<E> & b, int64_t first, int64_t kv_head, int64_t t0, int64_t t1) {
    const AttnShape & a  = b.a;
    const int64_t     nt = t1 - t0, rows = nt * a.group;
    pack_queries<E>(b.q, a, first, kv_head, t0, t1, scale_of_queries<E>(a), b.qs);
    pack_queries<E>(b.dO, a, first, kv_head, t0, t1, 1, b.go);
    items_of_rows(a, rows, b.qs, b.qi);
    items_of_rows(a, rows, b.go, b.gi);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t head = kv_head * a.group + r / nt;
        const float * o    = row_f32(b.out, first + t0 + r % nt);
        b.delta[r]         = kernels().dot(row_f32(b.dO, first + t0 + r % nt) + head * a.D, o + head * a.D, (int) a.D);
        b.delta[rows + r]  = o[a.D * a.H + head];
    }
}

// Capped scores: P and dS in the place of scores and dp, 0 from `valid` up to n made a multiple of 32.
template <class E>
void probability_capped(const Backward<E> & b, int64_t r, int valid, int64_t n, int hidden, float lse, float delta) {
    float *       s      = b.S + r * KV_BLOCK;
    float *       dp     = b.dp + r * KV_BLOCK;
    const int64_t padded = std::min(KV_BLOCK, (n + PANEL - 1) / PANEL * PANEL);
    kernels().cap(s, b.slope, valid, scale_of_scores<E>(b.a), b.a.cap);
    std::fill_n(s, hidden, HIDDEN);
    kernels().exp_sum(s, valid, 1, lse);
    kernels().softmax_back(s, dp, valid, delta);
    kernels().multiply(dp, b.slope, valid);
    std::memset(s + valid, 0, (padded - valid) * sizeof(float));
    std::memset(dp + valid, 0, (padded - valid) * sizeof(float));
    if constexpr (Lanes<E>::per_k == 2) {
        kernels().to_bf16(s, b.P + r * KV_BLOCK, padded);
        kernels().to_bf16(dp, b.dS + r * KV_BLOCK, padded);
    }
}

// P and dS of row r, which sees `valid` of n keys, from its scores.
void probability(const Backward<float> & b, int64_t r, int valid, int64_t n, float lse, float delta) {
    float * p  = b.P + r * KV_BLOCK;
    float * ds = b.dS + r * KV_BLOCK;
    kernels().exp_sum(p, valid, 1, lse);
    kernels().softmax_back(p, ds, valid, delta);
    std::memset(p + valid, 0, (n - valid) * sizeof(float));
    std::memset(ds + valid, 0, (n - valid) * sizeof(float));
}

void probability(const Backward<uint16_t> & b, int64_t r, int valid, int64_t n, float lse, float delta) {
    const int64_t at = r * KV_BLOCK;
    kernels().softmax_back_bf16(b.S + at, b.dp + at, valid, (int) n, b.a.scale, lse, delta, b.P + at, b.dS + at);
}

// P and dS of the loaded queries against keys [kv, kv+n).
template <class E> void probabilities(const Backward<E> & b, int64_t t0, int64_t t1, int64_t kv, int64_t n) {
    const int64_t nt = t1 - t0, rows = nt * b.a.group;
    score_block<E>(b.a, rows, b.qs, b.kt, kv, n, b.S);
    score_block<E>(b.a, rows, b.go, b.vt, kv, n, b.dp);
    for (int64_t r = 0; r < rows; r++) {
        const int valid  = (int) std::min(n, t0 + r % nt + 1 - kv);
        const int hidden = std::min(valid, (int) b.a.hidden(t0 + r % nt, kv, n));
        if (b.a.cap > 0) {
            probability_capped(b, r, valid, n, hidden, b.delta[rows + r], b.delta[r]);
            continue;
        }
        std::fill_n(b.S + r * KV_BLOCK, hidden, HIDDEN);
        probability(b, r, valid, n, b.delta[rows + r], b.delta[r]);
    }
}

// dv += P^T dO, dk += dS^T q over the loaded queries.
void add_keys(const Backward<float> & b, int64_t rows, int64_t kv, int64_t n) {
    const AttnShape & a = b.a;
    for (int64_t d = 0; d < a.Dp; d += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, a.Dp - d);
        kernels().gemm_f32((int) n, lanes, (int) rows, b.P, 1, KV_BLOCK, b.go + d, a.Dp, b.dv + kv * a.Dp + d, a.Dp,
                           true);
        kernels().gemm_f32((int) n, lanes, (int) rows, b.dS, 1, KV_BLOCK, b.qs + d, a.Dp, b.dk + kv * a.Dp + d, a.Dp,
                           true);
    }
}

// P or dS [rows][n] as rows of keys, two queries an item: [n][rows / 2].
const uint16_t * turned(const Backward<uint16_t> & b, uint16_t * x, int64_t rows, int64_t n) {
    const int64_t pairs = (rows + 1) / 2;
    uint32_t *    items = b.St + KV_BLOCK * pairs;
    if (rows % 2) {
        std::memset(x + rows * KV_BLOCK, 0, KV_BLOCK * sizeof(uint16_t));
    }
    for (int64_t r = 0; r < rows; r += 2) {
        kernels().interleave(x + r * KV_BLOCK, x + (r + 1) * KV_BLOCK, items + r / 2 * KV_BLOCK, n);
    }
    kernels().transpose32(items, KV_BLOCK, (int) pairs, (int) n, b.St, pairs);
    return (const uint16_t *) b.St;
}

void add_keys(const Backward<uint16_t> & b, int64_t rows, int64_t kv, int64_t n) {
    const ptrdiff_t am = (rows + 1) / 2 * 2;
    head_product<uint16_t>(b.a, n, rows, turned(b, b.P, rows, n), am, b.gi, b.dv + kv * b.a.Dp, true);
    head_product<uint16_t>(b.a, n, rows, turned(b, b.dS, rows, n), am, b.qi, b.dk + kv * b.a.Dp, true);
}

template <class E> void clear_keys(const Backward<E> & b, int64_t from, int64_t to) {
    std::memset(b.dk + from * b.a.Dp, 0, (to - from) * b.a.Dp * sizeof(float));
    std::memset(b.dv + from * b.a.Dp, 0, (to - from) * b.a.Dp * sizeof(float));
}

template <class E> void store_keys(const Backward<E> & b, int64_t first, int64_t kv_head, int64_t from, int64_t to) {
    const AttnShape & a = b.a;
    for (int64_t j = from; j < to; j++) {
        float * out = row_f32(b.dst, first + j) + a.D * a.H + kv_head * a.D;
        if (scale_of_scores<E>(a) != 1) {
            kernels().scale(b.dk + j * a.Dp, (int) a.D, scale_of_scores<E>(a));
        }
        std::memcpy(out, b.dk + j * a.Dp, a.D * sizeof(float));
        std::memcpy(out + a.D * a.HK, b.dv + j * a.Dp, a.D * sizeof(float));
    }
}

template <class E> void store_queries(const Backward<E> & b, int64_t first, int64_t kv_head, int64_t t0, int64_t t1) {
    const AttnShape & a  = b.a;
    const int64_t     nt = t1 - t0;
    for (int64_t r = 0; r < nt * a.group; r++) {
        kernels().scale(b.dq + r * a.Dp, (int) a.D, a.scale);
        std::memcpy(row_f32(b.dst, first + t0 + r % nt) + (kv_head * a.group + r / nt) * a.D, b.dq + r * a.Dp,
                    a.D * sizeof(float));
    }
}

// Queries [t0, t1) against all their keys: dq, and dk and dv on the way if wanted.
template <class E>
void back_queries(const Backward<E> & b, int64_t first, int64_t kv_head, int64_t t0, int64_t t1, bool keys) {
    const int64_t rows = (t1 - t0) * b.a.group;
    load_queries(b, first, kv_head, t0, t1);
    const int64_t begin = b.a.first_keys(t0);
    for (int64_t kv = begin; kv < t1; kv += KV_BLOCK) {
        const int64_t n = std::min(KV_BLOCK, t1 - kv);
        probabilities(b, t0, t1, kv, n);
        head_product<E>(b.a, rows, n, b.dS, KV_BLOCK, b.k + kv / Lanes<E>::per_k * b.a.Dp, b.dq, kv > begin);
        if (keys) {
            add_keys(b, rows, kv, n);
        }
    }
    store_queries(b, first, kv_head, t0, t1);
}

template <class E> void back_whole(const Backward<E> & b, int64_t first, int64_t kv_head, int64_t L) {
    clear_keys(b, 0, L);
    for (int64_t t = 0; t < L; t += b.a.q_block) {
        back_queries(b, first, kv_head, t, std::min(L, t + b.a.q_block), true);
    }
    store_keys(b, first, kv_head, 0, L);
}

// Keys [kv, kv_end) against all queries that see them: dk, dv.
template <class E> void back_keys(const Backward<E> & b, int64_t first, int64_t kv_head, int64_t kv, int64_t L) {
    const int64_t kv_end = std::min(L, kv + KV_BLOCK);
    clear_keys(b, kv, kv_end);
    for (int64_t t = kv; t < L && b.a.first_keys(t) <= kv; t += b.a.q_block) { // KV_BLOCK is a multiple of q_block
        const int64_t t1 = std::min(L, t + b.a.q_block), n = std::min(KV_BLOCK, t1 - kv);
        load_queries(b, first, kv_head, t, t1);
        probabilities(b, t, t1, kv, n);
        add_keys(b, (t1 - t) * b.a.group, kv, n);
    }
    store_keys(b, first, kv_head, kv, kv_end);
}

// The largest of nth sums when whole items are dealt out in order, over the mean.
double imbalance(const AttnItem * items, int64_t n, int nth) {
    double total = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        total += items[i].cost;
    }
    for (int t = 0; t < nth; t++) {
        const Share s   = balanced_share(items, n, t, nth);
        double      sum = 0;
        for (int64_t i = s.begin; i < s.end; i++) {
            sum += items[i].cost;
        }
        worst = std::max(worst, sum);
    }
    return total > 0 ? worst * nth / total : 1;
}

// Whole items if they keep the threads busy, else blocks (7 products instead of 5).
AttnItems plan(const AttnShape & a, int nth) {
    AttnItems items((a.T / a.q_block + a.T / KV_BLOCK + 3 * a.segments() + 3) * a.HK);
    for (int64_t s = 0; s < a.segments(); s++) {
        const double L = (double) a.length(s);
        for (int64_t hk = 0; hk < a.HK && L > 0; hk++) {
            const double W =
                std::min(L, (double) std::min(a.window, a.length(s)) + (double) KV_BLOCK); // keys of a query, at most
            items.add(s, hk, 0, 0, W * (2 * L - W + (double) a.q_block));
        }
    }
    if (items.size() == 0 || imbalance(items.begin(), items.size(), nth) < 1.4) {
        return items;
    }
    AttnItems blocks(0);
    for (int64_t s = 0; s < a.segments(); s++) {
        const int64_t L = a.length(s);
        for (int64_t hk = 0; hk < a.HK; hk++) {
            for (int64_t t = 0; t < L; t += a.q_block) {
                const int64_t t1 = std::min(L, t + a.q_block);
                blocks.add(s, hk, t / a.q_block, 1, 3.0 * (double) (t1 - t) * (double) (t1 - a.first_keys(t)));
            }
            for (int64_t kv = 0; kv < L; kv += KV_BLOCK) {
                const double n = (double) std::min(KV_BLOCK, L - kv);
                const double q = (double) std::min(L - kv, std::min(a.window, L) + KV_BLOCK); // queries that see it
                blocks.add(s, hk, kv / KV_BLOCK, 2, 4.0 * n * (q - n / 2));
            }
        }
    }
    return blocks;
}

// The items of one thread.
template <class E>
void backward_items(ggml_tensor * dst, const AttnShape & a, const AttnItem * items, const Share & share) {
    const ggml_tensor *dO = dst->src[0], *q = dst->src[1], *k = dst->src[2], *v = dst->src[3], *out = dst->src[4];
    const int64_t  rows = a.q_block * a.group, Lp = (a.max_end() + PANEL - 1) / PANEL * PANEL;
    Scratch &      mem  = scratch();
    constexpr bool bf16 = Lanes<E>::per_k == 2;
    E *            qs = mem.get<E>(SLOT_B, rows * a.Dp), *go = mem.get<E>(SLOT_C, rows * a.Dp);
    float *        S = mem.get<float>(SLOT_E, rows * KV_BLOCK), *dp = mem.get<float>(SLOT_F, rows * KV_BLOCK);
    E *            narrow = bf16 ? mem.get<E>(SLOT_OUT, 2 * (rows + 1) * KV_BLOCK) : nullptr;
    Backward<E> b{ a,
                      dst,
                      dO,
                      q,
                      out,
                      mem.get<Item<E>>(SLOT_PANEL, Lp * a.D),
                      mem.get<Item<E>>(SLOT_ROWS, Lp * a.D),
                      mem.get<Item<E>>(SLOT_A, Lp * a.Dp),
                      qs,
                      go,
                      bf16 ? mem.get<Item<E>>(SLOT_KEYS, rows * a.Dp) : (Item<E> *) qs,
                      bf16 ? mem.get<Item<E>>(SLOT_LORA, rows * a.Dp) : (Item<E> *) go,
                      mem.get<float>(SLOT_D, rows * a.Dp),
                      S,
                      dp,
                      bf16 ? narrow : (E *) S,
                      bf16 ? narrow + (rows + 1) * KV_BLOCK : (E *) dp,
                      bf16 ? mem.get<Item<E>>(SLOT_LORA_ROWS, (rows + 1) * KV_BLOCK) : nullptr,
                      mem.get<float>(SLOT_G, rows * 2 + KV_BLOCK),
                      nullptr,
                      mem.get<float>(SLOT_H, Lp * a.Dp),
                      mem.get<float>(SLOT_I, Lp * a.Dp) };
    b.slope = b.delta + rows * 2;
    int64_t s = -1, kv_head = -1;
    for (int64_t i = share.begin; i < share.end; i++) {
        const AttnItem & item  = items[i];
        const int64_t    first = a.begin(item.s), L = a.length(item.s);
        if (item.s != s || item.kv_head != kv_head) {
            s       = item.s;
            kv_head = item.kv_head;
            pack_transposed<E>(k, a, first, kv_head, 0, L, b.kt);
            pack_transposed<E>(v, a, first, kv_head, 0, L, b.vt);
            pack_plain<E>(k, a, first, kv_head, 0, L, b.k);
        }
        switch (item.which) {
            case 0: back_whole(b, first, kv_head, L); break;
            case 1:
                back_queries(b, first, kv_head, item.block * a.q_block, std::min(L, (item.block + 1) * a.q_block),
                             false);
                break;
            default: back_keys(b, first, kv_head, item.block * KV_BLOCK, L); break;
        }
    }
}

} // namespace

extern "C" void steer_cpu_attn_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *dO = dst->src[0], *q = dst->src[1], *k = dst->src[2], *v = dst->src[3], *out = dst->src[4];
    const AttnShape    a(params_of(dst), q, k, v, dst->src[5]);
    check_f32(dO, a.D * a.H, a.T);
    check_f32(out, a.D * a.H + a.H, a.T);
    check_f32(dst, a.D * a.H + 2 * a.D * a.HK, a.T);

    const Share unused(a.T - a.used(), ith, nth);
    for (int64_t t = a.used() + unused.begin; t < a.used() + unused.end; t++) {
        std::memset(row_f32(dst, t), 0, dst->ne[0] * sizeof(float));
    }

    AttnItems   items = plan(a, nth);
    const Share share = balanced_share(items.begin(), items.size(), ith, nth);
    if (share.begin == share.end) {
        return;
    }
    (a.bf16 ? backward_items<uint16_t> : backward_items<float>) (dst, a, items.begin(), share);
}
