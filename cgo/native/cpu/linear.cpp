// linear: y = W^T x.
//   y[n,t] = sum_k W[k,n] x[k,t]
//   dst y [N,T]; src0 W [K,N] any type, src1 x [K,T] f32 or bf16
//
// 32 rows of W at a time are unpacked into a panel, once for all tokens of the unit.

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

Units::Units(int64_t panels, int64_t T, int nth) {
    const int64_t options[] = { 1, 2, 3, 4, 6, 8, 12, 16 };
    double        best      = 0;
    chunks                  = 1;
    for (int64_t c : options) {
        if (c > 1 && T / c < 64) {
            break;
        }
        const int64_t units = panels * c;
        const double  busy  = (double) units / (double) ((units + nth - 1) / nth * nth);
        if (busy > best * 1.05) { // each further cut unpacks the weights once more
            best   = busy;
            chunks = c;
        }
    }
    count = panels * chunks;
}

const float * widen_rows(const ggml_tensor * x, int64_t t0, int64_t t1) {
    const int64_t K = x->ne[0];
    float *       f = scratch().get<float>(SLOT_I, (t1 - t0) * K);
    for (int64_t t = t0; t < t1; t++) {
        kernels().from_bf16((const uint16_t *) row_ptr(x, t), f + (t - t0) * K, K);
    }
    return f;
}

namespace {

constexpr int64_t DEPTH      = 1024; // weights of one row unpacked at a time, f32
constexpr int64_t DEPTH_BF16 = 2048;

void panel_f32(ggml_tensor * y, const ggml_tensor * W, const float * x, ptrdiff_t ldx, int64_t t0, int64_t t1,
               int64_t n0, int lanes) {
    const int64_t K     = W->ne[0];
    float *       rows  = scratch().get<float>(SLOT_ROWS, PANEL * std::min(K, DEPTH));
    float *       panel = scratch().get<float>(SLOT_PANEL, PANEL * std::min(K, DEPTH));
    for (int64_t k = 0; k < K; k += DEPTH) {
        const int64_t depth = std::min(DEPTH, K - k);
        panel_of_rows_f32(W, n0, lanes, k, depth, rows, panel);
        kernels().gemm_f32((int) (t1 - t0), lanes, (int) depth, x + k, ldx, 1, panel, panel_width(lanes),
                           row_f32(y, t0) + n0, row_stride(y), k > 0);
    }
}

void panel_bf16(ggml_tensor * y, const ggml_tensor * W, const ggml_tensor * x, int64_t t0, int64_t t1, int64_t n0,
                int lanes) {
    const int64_t K     = W->ne[0];
    uint16_t *    rows  = scratch().get<uint16_t>(SLOT_ROWS, PANEL * std::min(K, DEPTH_BF16));
    uint32_t *    panel = scratch().get<uint32_t>(SLOT_PANEL, PANEL * std::min(K, DEPTH_BF16) / 2);
    for (int64_t k = 0; k < K; k += DEPTH_BF16) {
        const int64_t depth = std::min(DEPTH_BF16, K - k);
        panel_of_rows_bf16(W, n0, lanes, k, depth, rows, panel);
        kernels().gemm_bf16((int) (t1 - t0), lanes, (int) (depth / 2), (const uint16_t *) row_ptr(x, t0) + k,
                            row_stride(x), panel, panel_width(lanes), row_f32(y, t0) + n0, row_stride(y), k > 0);
    }
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_cpu_linear(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * W = dst->src[0];
    const ggml_tensor * x = dst->src[1];
    const int64_t       N = W->ne[1], T = x->ne[1];
    check_f32(dst, N, T);
    GGML_ASSERT(x->ne[0] == W->ne[0] && steer_weight_type_ok(W->type));

    const Feed    feed   = feed_of(x, W->ne[0]);
    const int64_t panels = (N + PANEL - 1) / PANEL;
    // Widened rows are kept for a chunk of tokens, so tokens are the outer loop there.
    const int64_t outer = feed == Feed::WIDEN ? 512 : T;
    for (int64_t base = 0; base < T; base += outer) {
        const int64_t tokens = std::min(outer, T - base);
        const Units   units(panels, tokens, nth);
        const Share   share(units.count, ith, nth);
        const float * wide = feed == Feed::WIDEN && share.begin < share.end ? widen_rows(x, base, base + tokens) : nullptr;
        for (int64_t u = share.begin; u < share.end; u++) {
            const int64_t n0    = u / units.chunks * PANEL;
            const int     lanes = (int) std::min<int64_t>(PANEL, N - n0);
            const Share   part(tokens, (int) (u % units.chunks), (int) units.chunks);
            const int64_t t0 = base + part.begin, t1 = base + part.end;
            switch (feed) {
                case Feed::F32: panel_f32(dst, W, row_f32(x, t0), row_stride(x), t0, t1, n0, lanes); break;
                case Feed::WIDEN: panel_f32(dst, W, wide + part.begin * x->ne[0], x->ne[0], t0, t1, n0, lanes); break;
                case Feed::BF16: panel_bf16(dst, W, x, t0, t1, n0, lanes); break;
            }
        }
    }
}
