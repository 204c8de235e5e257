// attn: causal attention over sequences laid end to end, grouped-query.
//   s_ij = scale q_i.k_j,  j <= i of the same sequence;  lse_i = log sum_j exp(s_ij)
//   o_i = sum_j exp(s_ij - lse_i) v_j;  head h reads kv head h / (H/HK)
//   dst [D*H + H, T]: o (D*H values), then lse of each head
//   src0 q [D*H,T], src1 k [D*HK,T], src2 v [D*HK,T], src3 cu I32 [S+1]
//
// Online softmax over blocks of keys (Milakov and Gimelshein 2018; Dao et al. 2022).
// An item is a block of queries of all heads that share a kv head.

#include "attn.h"

#include <algorithm>
#include <cmath>

namespace steer {

AttnShape::AttnShape(const steer_op_params & p, const ggml_tensor * q, const ggml_tensor * k, const ggml_tensor * v,
                     const ggml_tensor * cu_) :
    D(p.i[0]), H(p.i[1]), HK(p.i[2]), group(H / HK), T(q->ne[1]), Dp((D + 15) / 16 * 16), scale(p.f[0]), cu(cu_) {
    GGML_ASSERT(D > 0 && HK > 0 && H % HK == 0);
    check_f32(q, D * H, T);
    check_f32(k, D * HK, T);
    check_f32(v, D * HK, T);
    GGML_ASSERT(cu->type == GGML_TYPE_I32 && cu->ne[0] >= 1 && used() <= T);
    q_block = group <= 2 ? 32 : group <= 4 ? 16 : 8;
}

int64_t AttnShape::max_length() const {
    int64_t m = 0;
    for (int64_t s = 0; s < sequences(); s++) {
        m = std::max(m, length(s));
    }
    return m;
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

void pack_transposed(const ggml_tensor * x, const AttnShape & a, int64_t first, int64_t kv_head, int64_t from,
                     int64_t to, float * panels) {
    for (int64_t j = from; j < to; j += PANEL) {
        const int n = (int) std::min<int64_t>(PANEL, to - j);
        float *   p = panels + j * a.D;
        if (n < PANEL) {
            std::memset(p, 0, a.D * PANEL * sizeof(float));
        }
        kernels().transpose32((const uint32_t *) (row_f32(x, first + j) + kv_head * a.D), row_stride(x), n, (int) a.D,
                              (uint32_t *) p, PANEL);
    }
}

void pack_plain(const ggml_tensor * x, const AttnShape & a, int64_t first, int64_t kv_head, int64_t from, int64_t to,
                float * rows) {
    for (int64_t j = from; j < to; j++) {
        std::memcpy(rows + j * a.Dp, row_f32(x, first + j) + kv_head * a.D, a.D * sizeof(float));
        std::memset(rows + j * a.Dp + a.D, 0, (a.Dp - a.D) * sizeof(float));
    }
}

void pack_queries(const ggml_tensor * x, const AttnShape & a, int64_t first, int64_t kv_head, int64_t t0, int64_t t1,
                  float scale, float * rows) {
    for (int64_t h = 0; h < a.group; h++) {
        for (int64_t t = t0; t < t1; t++, rows += a.Dp) {
            std::memcpy(rows, row_f32(x, first + t) + (kv_head * a.group + h) * a.D, a.D * sizeof(float));
            std::memset(rows + a.D, 0, (a.Dp - a.D) * sizeof(float));
            if (scale != 1) {
                kernels().scale(rows, (int) a.D, scale);
            }
        }
    }
}

void score_block(const AttnShape & a, int64_t n_rows, const float * rows, const float * panels, int64_t kv0, int64_t n,
                 float * S) {
    for (int64_t j = 0; j < n; j += PANEL) {
        kernels().gemm_f32((int) n_rows, (int) std::min<int64_t>(PANEL, n - j), (int) a.D, rows, a.Dp, 1,
                           panels + (kv0 + j) * a.D, PANEL, S + j, KV_BLOCK, false);
    }
}

void head_product(const AttnShape & a, int64_t n_rows, int64_t depth, const float * A, ptrdiff_t am, ptrdiff_t ak,
                  const float * B, float * C, bool accumulate) {
    for (int64_t d = 0; d < a.Dp; d += PANEL) {
        kernels().gemm_f32((int) n_rows, (int) std::min<int64_t>(PANEL, a.Dp - d), (int) depth, A, am, ak, B + d, a.Dp,
                           C + d, a.Dp, accumulate);
    }
}

namespace {

// Work space of one thread.
struct Forward {
    const AttnShape & a;
    ggml_tensor *     dst;
    float *           kt;   // keys, panels
    float *           v;    // values, rows
    float *           q;    // [rows][Dp], scaled
    float *           o;    // [rows][Dp]
    float *           S;    // [rows][KV_BLOCK]
    float *           m;    // [rows] running maximum
    double *          sum;  // [rows] running sum of exp
};

void forward_block(const Forward & f, int64_t first, int64_t kv_head, int64_t t0, int64_t t1) {
    const AttnShape & a  = f.a;
    const int64_t     nt = t1 - t0, rows = nt * a.group;
    const Kernels &   kern = kernels();
    for (int64_t r = 0; r < rows; r++) {
        f.m[r]   = -INFINITY;
        f.sum[r] = 0;
    }
    for (int64_t kv = 0; kv < t1; kv += KV_BLOCK) {
        const int64_t n = std::min(KV_BLOCK, t1 - kv);
        score_block(a, rows, f.q, f.kt, kv, n, f.S);
        for (int64_t r = 0; r < rows; r++) {
            float *     s     = f.S + r * KV_BLOCK;
            const int   valid = (int) std::min(n, t0 + r % nt + 1 - kv);
            const float m     = std::max(f.m[r], kern.row_max(s, valid));
            const float keep  = std::exp(f.m[r] - m); // exp(-inf) = 0 at the first block
            f.sum[r]          = f.sum[r] * keep + kern.exp_sum(s, valid, 1, m);
            std::memset(s + valid, 0, (n - valid) * sizeof(float));
            if (kv > 0 && keep != 1) {
                kern.scale(f.o + r * a.Dp, (int) a.Dp, keep);
            }
            f.m[r] = m;
        }
        head_product(a, rows, n, f.S, KV_BLOCK, 1, f.v + kv * a.Dp, f.o, kv > 0);
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

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_cpu_attn(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor *q = dst->src[0], *k = dst->src[1], *v = dst->src[2];
    const AttnShape    a(params_of(dst), q, k, v, dst->src[3]);
    check_f32(dst, a.D * a.H + a.H, a.T);

    const Share unused(a.T - a.used(), ith, nth);
    for (int64_t t = a.used() + unused.begin; t < a.used() + unused.end; t++) {
        std::memset(row_f32(dst, t), 0, dst->ne[0] * sizeof(float));
    }

    AttnItems items((a.T / a.q_block + a.sequences() + 1) * a.HK);
    for (int64_t s = 0; s < a.sequences(); s++) {
        const int64_t L = a.length(s);
        for (int64_t hk = 0; hk < a.HK; hk++) {
            for (int64_t t = 0; t < L; t += a.q_block) {
                const int64_t t1 = std::min(L, t + a.q_block);
                items.add(s, hk, t / a.q_block, 0, (double) (t1 - t) * (double) t1);
            }
        }
    }
    const Share share = balanced_share(items.begin(), items.size(), ith, nth);
    if (share.begin == share.end) {
        return;
    }

    const int64_t rows = a.q_block * a.group, Lp = (a.max_length() + PANEL - 1) / PANEL * PANEL;
    Scratch &     mem = scratch();
    // One panel beyond the end: rows of fewer than 32 lanes are read whole.
    const Forward f{ a,
                     dst,
                     mem.get<float>(SLOT_PANEL, Lp * a.D),
                     mem.get<float>(SLOT_ROWS, Lp * a.Dp + PANEL),
                     mem.get<float>(SLOT_A, rows * a.Dp),
                     mem.get<float>(SLOT_B, rows * a.Dp),
                     mem.get<float>(SLOT_C, rows * KV_BLOCK),
                     mem.get<float>(SLOT_D, rows),
                     mem.get<double>(SLOT_E, rows) };
    int64_t       s = -1, kv_head = -1, packed = 0;
    for (int64_t i = share.begin; i < share.end; i++) {
        const AttnItem & item = items.begin()[i];
        if (item.s != s || item.kv_head != kv_head) {
            s       = item.s;
            kv_head = item.kv_head;
            packed  = 0;
        }
        const int64_t first = a.begin(s), t0 = item.block * a.q_block, t1 = std::min(a.length(s), t0 + a.q_block);
        // Whole panels at a time, so that none is packed in two parts.
        const int64_t need = std::min(a.length(s), (t1 + PANEL - 1) / PANEL * PANEL);
        if (packed < need) {
            pack_transposed(k, a, first, kv_head, packed, need, f.kt);
            pack_plain(v, a, first, kv_head, packed, need, f.v);
            packed = need;
        }
        pack_queries(q, a, first, kv_head, t0, t1, a.scale, f.q);
        forward_block(f, first, kv_head, t0, t1);
    }
}
