// linear: y = W^T x + sum over LoRA pairs B^T h.
//   y[n,t] = sum_k W[k,n] x[k,t] + sum_pairs sum_j B[j,n] h[j,t]
//   dst y f32 or bf16 [N,T]; src0 W [K,N] any type, src1 x [K,T] f32 or bf16,
//   src2, src3, ... pairs B [r,N], h [r,T] f32 or bf16 (s A x of lora_down); h may differ from x in type
//
// A few times 32 rows of W are unpacked into panels, once for all tokens of the part.

#include "linear.h"

#include <algorithm>

namespace steer {

Feed feed_of(const ggml_tensor * x, int64_t depth) {
    GGML_ASSERT(x->type == GGML_TYPE_F32 || x->type == GGML_TYPE_BF16);
    if (x->type == GGML_TYPE_F32) {
        return Feed::F32;
    }
    return kernels().gemm_bf16 && depth % 2 == 0 ? Feed::BF16 : Feed::WIDEN;
}

int64_t token_chunks(int64_t groups, int64_t T, int nth) {
    const int64_t options[] = { 1, 2, 3, 4, 6, 8, 12, 16 };
    double        best      = 0;
    int64_t       chunks    = 1;
    for (int64_t c : options) {
        if (c > 1 && T / c < 64) {
            break;
        }
        const int64_t units = groups * c;
        const double  busy  = (double) units / (double) ((units + nth - 1) / nth * nth);
        if (busy > best * 1.05) { // each further cut unpacks the weights once more
            best   = busy;
            chunks = c;
        }
    }
    return chunks;
}

int64_t tokens_at_once(Feed feed, int64_t T) {
    return feed == Feed::WIDEN ? std::min<int64_t>(T, 512) : T;
}

Rows rows_f32(const ggml_tensor * x, Feed feed, int64_t t0, int64_t t1, Slot slot) {
    if (feed == Feed::F32) {
        return { row_f32(x, t0), row_stride(x) };
    }
    const int64_t K = x->ne[0];
    float *       f = scratch().get<float>(slot, (t1 - t0) * K);
    for (int64_t t = t0; t < t1; t++) {
        kernels().from_bf16((const uint16_t *) row_ptr(x, t), f + (t - t0) * K, K);
    }
    return { f, (ptrdiff_t) K };
}

namespace {

// Depth of a panel: a multiple of every block.
int64_t depth_of(int64_t K, Feed feed) {
    return std::min(K, even_piece(K, feed == Feed::BF16 ? 1024 : 512, 256));
}

// Tokens whose sums are held where y is bf16 and its depth is cut; memory for all, so that it does not grow with T.
constexpr int64_t SUMS_TOKENS = 1024;

// Columns [n0, n1) of y for tokens [t0, t1).
void columns(ggml_tensor * y, const ggml_tensor * W, const ggml_tensor * x, Feed feed, int64_t n0, int64_t n1,
             int64_t t0, int64_t t1) {
    const bool      bf16  = feed == Feed::BF16;
    const int64_t   K     = W->ne[0];
    const int64_t   depth = depth_of(K, feed);
    const int64_t   items = PANEL * (bf16 ? depth / 2 : depth); // of one panel
    const int64_t   wide  = even_piece(n1 - n0, PANEL_ITEMS / items * PANEL, PANEL);
    uint32_t *      panel = scratch().get<uint32_t>(SLOT_PANEL, wide / PANEL * items);
    uint32_t *      rows  = scratch().get<uint32_t>(SLOT_ROWS, items);
    const Rows      f32   = bf16 ? Rows{} : rows_f32(x, feed, t0, t1);
    const ptrdiff_t ld    = is_bf16(y) ? wide + 16 : row_stride(y); // of the sums; rows apart in the cache
    float *         sums =
        is_bf16(y) ? scratch().get<float>(SLOT_OUT, (depth < K ? SUMS_TOKENS : kernels().rows) * ld) : nullptr;
    LoraTerms       lora(y, 2, true, t0, t1);
    Term            terms[1 + LoraTerms::MOST];
    for (int64_t n = n0; n < n1; n += wide) {
        const int64_t cols = std::min(wide, n1 - n);
        const Rounded out  = { (uint16_t *) row_ptr(y, t0) + n, row_stride(y), depth == K };
        for (int64_t k = 0; k < K; k += depth) {
            const int64_t d = std::min(depth, K - k);
            for (int64_t c = 0; c < cols; c += PANEL) {
                const int  lanes = (int) std::min<int64_t>(PANEL, cols - c);
                uint32_t * p     = panel + c / PANEL * items;
                if (bf16) {
                    panel_of_rows_bf16(W, n + c, lanes, k, d, (uint16_t *) rows, p);
                } else {
                    panel_of_rows_f32(W, n + c, lanes, k, d, (float *) rows, (float *) p);
                }
            }
            if (bf16) {
                terms[0] = { true, (const uint16_t *) row_ptr(x, t0) + k, row_stride(x), panel, items, d };
            } else {
                terms[0] = { false, f32.data + k, f32.ld, panel, items, d };
            }
            const bool last  = k + depth >= K;
            const int  pairs = last ? lora.add(terms + 1, n, cols) : 0;
            product(t1 - t0, cols, terms, 1 + pairs, sums ? sums : row_f32(y, t0) + n, ld, k > 0,
                    sums && last ? &out : nullptr);
        }
    }
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_cpu_linear(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * W = dst->src[0];
    const ggml_tensor * x = dst->src[1];
    const int64_t       N = W->ne[1], T = x->ne[1];
    check_activation(dst, N, T);
    GGML_ASSERT(x->ne[0] == W->ne[0] && steer_weight_type_ok(W->type));

    const Feed    feed = feed_of(x, W->ne[0]);
    const int64_t most = is_bf16(dst) && depth_of(W->ne[0], feed) < W->ne[0] ? SUMS_TOKENS : T;
    const int64_t step = std::min(most, tokens_at_once(feed, T));
    for (int64_t t = 0; t < T; t += step) {
        each_part((N + PANEL - 1) / PANEL, std::min(step, T - t), ith, nth,
                  [&](int64_t g0, int64_t g1, int64_t t0, int64_t t1) {
                      columns(dst, W, x, feed, g0 * PANEL, std::min(N, g1 * PANEL), t + t0, t + t1);
                  });
    }
}
