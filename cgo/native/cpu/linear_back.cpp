// linear_back: dx (+)= W dy.
//   dx[k,t] (+)= sum_n W[k,n] dy[n,t]
//   overwriting (i0 = 0): dst dx [K,T]; src0 W [K,N], src1 dy [N,T] f32 or bf16
//   accumulating (i0 = 1): dst = src0 dx in place; src1 W, src2 dy
//
// A thread owns groups of columns: 32, or one block of the type where that is longer.

#include "linear.h"

#include <algorithm>

using namespace steer;

namespace {

constexpr int64_t PANEL_ITEMS = 64 * 1024; // 32-bit items unpacked at a time: 256 kB

struct Job {
    ggml_tensor *       dx;
    const ggml_tensor * W;
    bool                accumulate;
};

void group_f32(const Job & job, const float * dy, ptrdiff_t ldy, int64_t t0, int64_t t1, int64_t k0, int64_t cols) {
    const int64_t N      = job.W->ne[1];
    const int64_t panels = (cols + PANEL - 1) / PANEL;
    const int64_t depth  = std::min(N, PANEL_ITEMS / (panels * PANEL));
    float *       panel  = scratch().get<float>(SLOT_PANEL, panels * PANEL * depth);
    for (int64_t n = 0; n < N; n += depth) {
        const int64_t d = std::min(depth, N - n);
        panels_of_cols_f32(job.W, n, d, k0, cols, panel, PANEL * d);
        for (int64_t p = 0; p < panels; p++) {
            kernels().gemm_f32((int) (t1 - t0), (int) std::min<int64_t>(PANEL, cols - p * PANEL), (int) d, dy + n, ldy, 1,
                               panel + p * PANEL * d, PANEL, row_f32(job.dx, t0) + k0 + p * PANEL,
                               row_stride(job.dx), n > 0 || job.accumulate);
        }
    }
}

void group_bf16(const Job & job, const ggml_tensor * dy, int64_t t0, int64_t t1, int64_t k0, int64_t cols) {
    const int64_t N      = job.W->ne[1];
    const int64_t panels = (cols + PANEL - 1) / PANEL;
    const int64_t depth  = std::min(N, 2 * PANEL_ITEMS / (panels * PANEL));
    uint32_t *    panel  = scratch().get<uint32_t>(SLOT_PANEL, panels * PANEL * depth / 2);
    for (int64_t n = 0; n < N; n += depth) {
        const int64_t d = std::min(depth, N - n);
        panels_of_cols_bf16(job.W, n, d, k0, cols, panel, PANEL * d / 2);
        for (int64_t p = 0; p < panels; p++) {
            kernels().gemm_bf16((int) (t1 - t0), (int) std::min<int64_t>(PANEL, cols - p * PANEL), (int) (d / 2),
                                (const uint16_t *) row_ptr(dy, t0) + n, row_stride(dy), panel + p * PANEL * d / 2,
                                PANEL, row_f32(job.dx, t0) + k0 + p * PANEL, row_stride(job.dx),
                                n > 0 || job.accumulate);
        }
    }
}

} // namespace

extern "C" void steer_cpu_linear_back(ggml_tensor * dst, int ith, int nth, void *) {
    const int           a  = params_of(dst).i[0] ? 1 : 0;
    const ggml_tensor * W  = dst->src[a];
    const ggml_tensor * dy = dst->src[a + 1];
    const Job           job{ dst, W, a == 1 };
    const int64_t       K = W->ne[0], T = dy->ne[1];
    check_f32(dst, K, T);
    GGML_ASSERT(dy->ne[0] == W->ne[1] && steer_weight_type_ok(W->type));

    const Feed    feed   = feed_of(dy, W->ne[1]);
    const int64_t group  = unpack_group(W->type);
    const int64_t groups = (K + group - 1) / group;
    const int64_t outer  = feed == Feed::WIDEN ? 512 : T;
    for (int64_t base = 0; base < T; base += outer) {
        const int64_t tokens = std::min(outer, T - base);
        const Units   units(groups, tokens, nth);
        const Share   share(units.count, ith, nth);
        const float * wide = feed == Feed::WIDEN && share.begin < share.end ? widen_rows(dy, base, base + tokens) : nullptr;
        for (int64_t u = share.begin; u < share.end; u++) {
            const int64_t k0   = u / units.chunks * group;
            const int64_t cols = std::min(group, K - k0);
            const Share   part(tokens, (int) (u % units.chunks), (int) units.chunks);
            const int64_t t0 = base + part.begin, t1 = base + part.end;
            switch (feed) {
                case Feed::F32: group_f32(job, row_f32(dy, t0), row_stride(dy), t0, t1, k0, cols); break;
                case Feed::WIDEN: group_f32(job, wide + part.begin * dy->ne[0], dy->ne[0], t0, t1, k0, cols); break;
                case Feed::BF16: group_bf16(job, dy, t0, t1, k0, cols); break;
            }
        }
    }
}
