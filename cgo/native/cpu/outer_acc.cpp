// outer_acc: G += drop(u) v^T, the gradient of a LoRA matrix.
//   G[i,j] += sum_t drop(u)[i,t] v[j,t]
//   dst = src0 G [M,J] in place; src1 u [M,T], src2 v [J,T], src3 seeds I32 [2,T]
//   (u = x, v = dh gives dA; u = h, v = dy gives dB)
//
// A unit is one panel of 32 i and a chunk of j, over all tokens in order.

#include "lora.h"

#include <algorithm>

using namespace steer;

namespace {
constexpr int64_t J_CHUNK = 112; // 8 tiles of 14 rows
constexpr int64_t TOKENS  = 64; // both copies stay in the first-level cache
} // namespace

extern "C" void steer_cpu_outer_acc(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * u = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    const int64_t       M = u->ne[0], J = v->ne[0], T = u->ne[1];
    check_f32(u, M, T);
    check_f32(v, J, T);
    check_f32(dst, M, J);
    const Dropout drop(dst->src[3], params_of(dst), T, 0, T);
    const int64_t i_panels = (M + PANEL - 1) / PANEL;
    const int64_t j_chunks = (J + J_CHUNK - 1) / J_CHUNK;
    const Share   share(i_panels * j_chunks, ith, nth);
    float *       pu = scratch().get<float>(SLOT_PANEL, TOKENS * PANEL);
    float *       pv = scratch().get<float>(SLOT_A, TOKENS * J_CHUNK);
    for (int64_t unit = share.begin; unit < share.end; unit++) {
        const int64_t i0 = unit / j_chunks * PANEL, j0 = unit % j_chunks * J_CHUNK;
        const int     lanes = (int) std::min<int64_t>(PANEL, M - i0), width = panel_width(lanes);
        const int64_t nj = std::min(J_CHUNK, J - j0);
        for (int64_t t = 0; t < T; t += TOKENS) {
            const int64_t n = std::min(TOKENS, T - t);
            kernels().copy_padded(row_f32(u, t) + i0, row_stride(u), n, lanes, pu, width);
            for (int64_t i = 0; i < n && drop.on(); i++) {
                drop.apply(t + i, i0, pu + i * width, pu + i * width, lanes, false);
            }
            kernels().copy_padded(row_f32(v, t) + j0, row_stride(v), n, (int) nj, pv, (int) nj);
            kernels().gemm_f32((int) nj, lanes, (int) n, pv, 1, nj, pu, width, row_f32(dst, j0) + i0, row_stride(dst),
                               true);
        }
    }
}
