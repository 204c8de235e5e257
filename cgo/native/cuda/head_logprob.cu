// head_logprob: what a target row's distribution says, without ever holding all logits.
//   l_v = f0 * W_v . h[:, rows_r], or f0 * f1 tanh(W_v . h[:, rows_r] / f1) with a cap f1 > 0;
//   lse = log sum_v exp(l_v);  p_v = exp(l_v - lse)
//   dst [4,R] = logp = l_target - lse | entropy = lse - sum_v p_v l_v (0 unless i0) | lse
//             | 1 if no logit is above the target's and none of a smaller id equals it
//   src0 W [n,V], src1 h [n,T], src2 rows I32 [R], src3 targets I32 [R]
//   f0 = 1/temperature, i0 = entropy wanted, i1 = bf16 arithmetic
//
// Panels of logits by GEMM; a block keeps a row's running maximum and sums.

#include "head.h"

namespace steer {
namespace cuda {
namespace {

// One target row a block.
__global__ void take_in_rows(Running * state, const float * L, int64_t ld, int count, int v0, const int32_t * targets,
                             float f, bool entropy) {
    const int64_t r = blockIdx.x;
    take_in(state + r, L + r * ld, count, v0, targets[r], f, entropy, [](int, float) {});
}

__global__ void finish_rows(const Running * state, const int32_t * targets, Rows<float> dst, float f, bool entropy,
                            int64_t n) {
    const int64_t r = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (r < n) {
        finish(state[r], targets[r], f, entropy, dst.data + r * dst.stride);
    }
}

} // namespace

void head_logprob(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     W       = dst->src[0];
    const ggml_tensor *     h       = dst->src[1];
    const int32_t *         rows    = ints_of(dst->src[2]);
    const int32_t *         targets = ints_of(dst->src[3]);
    const steer_op_params & p       = params_of(dst);
    const ggml_type         type    = head_type(p);
    const int64_t           R = dst->ne[1], K = W->ne[0];
    require_head(W, h, dst->src[2], p);
    require_f32(dst, 4, R, "dst is not f32 [4,R]");
    require_ints(dst->src[2], R, "rows are not I32 [R]");
    require_ints(dst->src[3], R, "targets are not I32 [R]");
    const int64_t     most = std::min(R, c.limits.head_rows);
    Weights           weights(c, W, type, c.limits.panel_vocab);
    Scratch<char>     x(c, most * K * size_of(type));
    Scratch<float>    L(c, panel_items(c, weights, most));
    Scratch<Running>  state(c, most);
    const Rows<float> out = rows_of<float>(dst);
    for (int64_t r = 0; r < R; r += most) {
        const int64_t n = std::min(most, R - r);
        gather_rows(c, h, rows + r, n, type, x);
        each_panel(c, weights, W->ne[1], n, [&](const Panel & panel) {
            panel_logits(c, panel, type, K, x, L, p.f[1]);
            launch(c, "take_in_rows", take_in_rows, dim3((unsigned) panel.rows), HEAD_THREADS, 0, state + panel.row0,
                   (const float *) L, panel.ld, (int) panel.count, (int) panel.v0, targets + r + panel.row0, p.f[0],
                   p.i[0] != 0);
        });
        launch(c, "finish_rows", finish_rows, dim3((unsigned) ((n + 127) / 128)), 128, 0, (const Running *) state,
               targets + r, Rows<float>{ out.data + r * out.stride, out.stride }, p.f[0], p.i[0] != 0, n);
    }
}

} // namespace cuda
} // namespace steer
