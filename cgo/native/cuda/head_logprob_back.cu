// head_logprob_back: gradient of head_logprob with respect to h.
//   dl_v = g_lp (1[v = target] - p_v) - g_ent p_v (log p_v + entropy)
//   dh[:, rows_r] += f0 sum_v dl_v W_v, with a cap f1 > 0 f0 sum_v dl_v (1 - (l_v / (f0 f1))^2) W_v
//   dst = src0 dh [n,T] in place; src1 W [n,V], src2 h [n,T], src3 rows I32 [R],
//   src4 targets I32 [R], src5 out [4,R] (dst of head_logprob), src6 g [2,R] = g_lp | g_ent
//   parameters as head_logprob; rows are distinct
//
// Panels of logits are computed again, become dl in place, and a second GEMM takes them home.

#include "head.h"

namespace steer {
namespace cuda {
namespace {

// One target row a block; P may be L itself.
template <class T>
__global__ void logits_back(const float * L, T * P, int64_t ld, int count, int v0, const int32_t * targets,
                            Rows<const float> out, Rows<const float> g, float f, float cap) {
    const int64_t r       = blockIdx.x;
    const float   lse     = out.data[r * out.stride + 2], entropy = out.data[r * out.stride + 1];
    const float   g_lp = g.data[r * g.stride], g_ent = g.data[r * g.stride + 1];
    const int     target = targets[r] - v0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        const float lp = L[r * ld + i] * f - lse, p = expf(lp);
        const float d  = g_lp * (i == target ? -expm1f(lp) : -p) - g_ent * p * (lp + entropy);
        put(P + r * ld + i, f * d * cap_slope(L[r * ld + i], cap));
    }
}

// One target row a block.
__global__ void scatter_add(Rows<float> dh, int64_t T, const float * dx, const int32_t * rows, int n) {
    const int64_t r = blockIdx.x, row = rows[r];
    if (row < 0 || row >= T) {
        return;
    }
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        dh.data[row * dh.stride + i] += dx[r * n + i];
    }
}

template <class T> void logprob_back(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     W       = dst->src[1];
    const ggml_tensor *     h       = dst->src[2];
    const int32_t *         rows    = ints_of(dst->src[3]);
    const int32_t *         targets = ints_of(dst->src[4]);
    const Rows<const float> out = rows_of<const float>(dst->src[5]), g = rows_of<const float>(dst->src[6]);
    const steer_op_params & p    = params_of(dst);
    const ggml_type         type = head_type(p);
    const int64_t           R = dst->src[3]->ne[0], K = W->ne[0], most = std::min(R, c.limits.head_rows);
    Weights                 weights(c, W, type, c.limits.panel_vocab);
    Scratch<char>           x(c, most * K * (int64_t) sizeof(T));
    Scratch<float>          dx(c, most * K);
    Scratch<float>          L(c, panel_items(c, weights, most));
    Scratch<bf16>           narrow(c, type == GGML_TYPE_BF16 ? panel_items(c, weights, most) : 0);
    T * const               P = type == GGML_TYPE_BF16 ? (T *) (bf16 *) narrow : (T *) (float *) L;
    for (int64_t r = 0; r < R; r += most) {
        const int64_t n = std::min(most, R - r);
        gather_rows(c, h, rows + r, n, type, x);
        each_panel(c, weights, W->ne[1], n, [&](const Panel & panel) {
            const int64_t first = r + panel.row0;
            panel_logits(c, panel, type, K, x, L, p.f[1]);
            launch(c, "logits_back", logits_back<T>, dim3((unsigned) panel.rows), 256, 0, (const float *) L, P,
                   panel.ld, (int) panel.count, (int) panel.v0, targets + first,
                   Rows<const float>{ out.data + first * out.stride, out.stride },
                   Rows<const float>{ g.data + first * g.stride, g.stride }, p.f[0], p.f[1]);
            panel_product(c, panel, type, K, P, dx + panel.row0 * K, K);
        });
        launch(c, "scatter_add", scatter_add, dim3((unsigned) n), 256, 0, rows_of<float>(dst), dst->ne[1],
               (const float *) dx, rows + r, (int) K);
    }
}

} // namespace

void head_logprob_back(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     W = dst->src[1];
    const steer_op_params & p = params_of(dst);
    const int64_t           R = dst->src[3]->ne[0];
    require_head(W, dst->src[2], dst->src[3], p);
    require_f32(dst, W->ne[0], dst->src[2]->ne[1], "dst is not f32 of h's shape");
    require_ints(dst->src[4], R, "targets are not I32 [R]");
    require_f32(dst->src[5], 4, R, "out is not f32 [4,R]");
    require_f32(dst->src[6], 2, R, "g is not f32 [2,R]");
    if (head_type(p) == GGML_TYPE_BF16) {
        logprob_back<bf16>(dst, c);
    } else {
        logprob_back<float>(dst, c);
    }
}

} // namespace cuda
} // namespace steer
