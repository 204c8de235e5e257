// linear_back: dx (+)= W dy + sum over LoRA pairs A dh.
//   dx[k,t] (+)= sum_n W[k,n] dy[n,t] + sum_pairs sum_j A[k,j] dh[j,t]
//   overwriting (i0 = 0): dst dx [K,T]; src0 W [K,N], src1 dy [N,T] f32 or bf16,
//   then pairs A [K,r], dh [r,T] f32 or bf16 (s B dy of lora_up_back)
//   accumulating (i0 = 1): dst = src0 dx in place; src1 W, src2 dy, then pairs
//
// A thread owns groups of columns: 32, or one block of the type where that is longer.

#include "linear.h"

#include <algorithm>

using namespace steer;

namespace {

// Columns [k0, k1) of dx for tokens [t0, t1).
void columns(ggml_tensor * dx, const ggml_tensor * W, const ggml_tensor * dy, Feed feed, bool accumulate, int64_t k0,
             int64_t k1, int64_t t0, int64_t t1) {
    const bool    bf16  = feed == Feed::BF16;
    const int64_t N     = W->ne[1];
    const int64_t pack  = bf16 ? 2 : 1;
    const int64_t wide  = even_piece(k1 - k0, 9 * PANEL, unpack_group(W->type));
    const int64_t depth = even_piece(N, pack * PANEL_ITEMS / wide, pack);
    const int64_t items = PANEL * depth / pack;
    uint32_t *    panel = scratch().get<uint32_t>(SLOT_PANEL, wide / PANEL * items);
    const Rows    f32   = bf16 ? Rows{} : rows_f32(dy, feed, t0, t1);
    LoraTerms     lora(dx, accumulate ? 3 : 2, false, t0, t1);
    Term          terms[1 + LoraTerms::MOST];
    for (int64_t k = k0; k < k1; k += wide) {
        const int64_t cols = std::min(wide, k1 - k);
        float *       out  = row_f32(dx, t0) + k;
        for (int64_t n = 0; n < N; n += depth) {
            const int64_t d = std::min(depth, N - n);
            if (bf16) {
                panels_of_cols_bf16(W, n, d, k, cols, panel, items);
                terms[0] = { true, (const uint16_t *) row_ptr(dy, t0) + n, row_stride(dy), panel, items, d };
            } else {
                panels_of_cols_f32(W, n, d, k, cols, (float *) panel, items);
                terms[0] = { false, f32.data + n, f32.ld, panel, items, d };
            }
            const int pairs = n + depth >= N ? lora.add(terms + 1, k, cols) : 0;
            product(t1 - t0, cols, terms, 1 + pairs, out, row_stride(dx), accumulate || n > 0);
        }
    }
}

} // namespace

extern "C" void steer_cpu_linear_back(ggml_tensor * dst, int ith, int nth, void *) {
    const int           a  = params_of(dst).i[0] ? 1 : 0;
    const ggml_tensor * W  = dst->src[a];
    const ggml_tensor * dy = dst->src[a + 1];
    const int64_t       K = W->ne[0], T = dy->ne[1];
    check_f32(dst, K, T);
    GGML_ASSERT(dy->ne[0] == W->ne[1] && steer_weight_type_ok(W->type));

    const Feed    feed  = feed_of(dy, W->ne[1]);
    const int64_t group = unpack_group(W->type), step = tokens_at_once(feed, T);
    for (int64_t t = 0; t < T; t += step) {
        each_part((K + group - 1) / group, std::min(step, T - t), ith, nth,
                  [&](int64_t g0, int64_t g1, int64_t t0, int64_t t1) {
                      columns(dst, W, dy, feed, a == 1, g0 * group, std::min(K, g1 * group), t + t0, t + t1);
                  });
    }
}
