// lora_up: y += B^T h.
//   y[n,t] += sum_j B[j,n] h[j,t]
//   dst = src0 y [N,T] in place; src1 B [r,N], src2 h [r,T]
//
// Threads own tokens. B is transposed in chunks that stay in the second-level cache.

#include "lora.h"
#include "weights.h"

#include <algorithm>

using namespace steer;

extern "C" void steer_cpu_lora_up(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * B = dst->src[1];
    const ggml_tensor * h = dst->src[2];
    const int64_t       r = B->ne[0], N = B->ne[1], T = h->ne[1];
    check_f32(B, r, N);
    check_f32(h, r, T);
    check_f32(dst, N, T);
    const Share share(T, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    const int64_t chunk = std::max<int64_t>(1, 64 * 1024 / (PANEL * r)); // panels of 32 at a time
    float *       rows  = scratch().get<float>(SLOT_ROWS, PANEL * r);
    float *       panel = scratch().get<float>(SLOT_PANEL, chunk * PANEL * r);
    for (int64_t n0 = 0; n0 < N; n0 += chunk * PANEL) {
        const int64_t n1 = std::min(N, n0 + chunk * PANEL);
        for (int64_t n = n0; n < n1; n += PANEL) {
            panel_of_rows_f32(B, n, (int) std::min<int64_t>(PANEL, n1 - n), 0, r, rows, panel + (n - n0) * r);
        }
        for (int64_t t = share.begin; t < share.end; t += kernels().rows) { // a tile's rows stay in the first-level cache
            const int64_t m = std::min<int64_t>(kernels().rows, share.end - t);
            for (int64_t n = n0; n < n1; n += PANEL) {
                const int lanes = (int) std::min<int64_t>(PANEL, n1 - n);
                kernels().gemm_f32((int) m, lanes, (int) r, row_f32(h, t), row_stride(h), 1, panel + (n - n0) * r,
                                   panel_width(lanes), row_f32(dst, t) + n, row_stride(dst), true);
            }
        }
    }
}
