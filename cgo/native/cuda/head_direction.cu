// head_direction: head_logprob and, in the same walk, the direction in which h raises it.
//   dst [4+n, R] = the four values of head_logprob | u_r
//   u_r = d logp_r / d h_r = f0 (W_target - sum_v p_v W_v)
//   with a cap f1 > 0: l_v = f0 f1 tanh(W_v h_r / f1), and every W_v in u_r times 1 - (l_v / (f0 f1))^2
//   sources and parameters as head_logprob
//
// A chunk's p, relative to the running maximum, goes into a panel, a second GEMM adds
// sum_v p_v W_v to dst; when the maximum grows, what is there shrinks. The target's own
// term is left out and enters as (1 - p_target) W_target, so that a confident row's small u
// keeps its relative precision.

#include "head.h"

namespace steer {
namespace cuda {
namespace {

// One target row a block. P may be L itself; acc: sum so far, n values.
template <class T>
__global__ void take_in_direction(Running * state, const float * L, T * P, int64_t ld, int count, int v0,
                                  const int32_t * targets, float f, float cap, bool entropy, Rows<float> acc, int n) {
    const int64_t r      = blockIdx.x;
    const int     target = targets[r];
    T *           p      = P + r * ld;
    const float * l      = L + r * ld;
    const float   keep   = take_in(state + r, l, count, v0, target, f, entropy, [&](int i, float e) {
        put(p + i, i == target - v0 ? 0.0f : e * cap_slope(l[i], cap));
    });
    if (v0 > 0 && keep != 1) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) {
            acc.data[r * acc.stride + i] *= keep;
        }
    }
}

// W of each row's target, if it is in this chunk.
template <class T>
__global__ void keep_targets(const T * W, int v0, int count, const int32_t * targets, T * kept, int n) {
    const int v = targets[blockIdx.x] - v0;
    if (v >= 0 && v < count) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) {
            kept[(int64_t) blockIdx.x * n + i] = W[(int64_t) v * n + i];
        }
    }
}

// One target row a block.
template <class T>
__global__ void finish_direction(const Running * state, const int32_t * targets, const T * kept, Rows<float> dst,
                                 float f, float cap, bool entropy, int n) {
    const int64_t r   = blockIdx.x;
    const Running s   = state[r];
    float *       out = dst.data + r * dst.stride;
    const double  lp  = ((double) s.target - (double) s.max) * f - log(s.sum);
    const float   own = (float) (-expm1(lp)) * f * cap_slope(s.target, cap), others = (float) (f / s.sum);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        // An unmet target leaves own NaN.
        out[4 + i] = own * to_float(kept[r * n + i]) - others * out[4 + i];
    }
    if (threadIdx.x == 0) {
        finish(s, targets[r], f, entropy, out);
    }
}

template <class T> void direction(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     W       = dst->src[0];
    const ggml_tensor *     h       = dst->src[1];
    const int32_t *         rows    = ints_of(dst->src[2]);
    const int32_t *         targets = ints_of(dst->src[3]);
    const steer_op_params & p       = params_of(dst);
    const ggml_type         type    = head_type(p);
    const int64_t           R = dst->ne[1], K = W->ne[0], most = std::min(R, c.limits.head_rows);
    const bool              entropy = p.i[0] != 0;
    Weights                 weights(c, W, type, c.limits.panel_vocab);
    Scratch<char>           x(c, most * K * (int64_t) sizeof(T));
    Scratch<T>              kept(c, most * K);
    Scratch<float>          L(c, panel_items(c, weights, most));
    Scratch<bf16>           narrow(c, type == GGML_TYPE_BF16 ? panel_items(c, weights, most) : 0);
    T * const               P = type == GGML_TYPE_BF16 ? (T *) (bf16 *) narrow : (T *) (float *) L;
    Scratch<Running>        state(c, most);
    const Rows<float>       all = rows_of<float>(dst);
    for (int64_t r = 0; r < R; r += most) {
        const int64_t     n   = std::min(most, R - r);
        const Rows<float> out = { all.data + r * all.stride, all.stride };
        gather_rows(c, h, rows + r, n, type, x);
        each_panel(c, weights, W->ne[1], n, [&](const Panel & panel) {
            const int32_t *   wanted = targets + r + panel.row0;
            const Rows<float> acc    = { out.data + panel.row0 * out.stride + 4, out.stride };
            const dim3        grid((unsigned) panel.rows);
            panel_logits(c, panel, type, K, x, L, p.f[1]);
            launch(c, "take_in_direction", take_in_direction<T>, grid, HEAD_THREADS, 0, state + panel.row0,
                   (const float *) L, P, panel.ld, (int) panel.count, (int) panel.v0, wanted, p.f[0], p.f[1], entropy,
                   acc, (int) K);
            panel_product(c, panel, type, K, P, acc.data, acc.stride);
            launch(c, "keep_targets", keep_targets<T>, grid, 256, 0, (const T *) panel.W.data, (int) panel.v0,
                   (int) panel.count, wanted, kept + panel.row0 * K, (int) K);
        });
        launch(c, "finish_direction", finish_direction<T>, dim3((unsigned) n), 256, 0, (const Running *) state,
               targets + r, (const T *) kept, out, p.f[0], p.f[1], entropy, (int) K);
    }
}

} // namespace

void head_direction(ggml_tensor * dst, steer_cuda & c) {
    const steer_op_params & p = params_of(dst);
    const int64_t           R = dst->ne[1];
    require_head(dst->src[0], dst->src[1], dst->src[2], p);
    require_f32(dst, 4 + dst->src[0]->ne[0], R, "dst is not f32 [4+n,R]");
    require_ints(dst->src[2], R, "rows are not I32 [R]");
    require_ints(dst->src[3], R, "targets are not I32 [R]");
    if (head_type(p) == GGML_TYPE_BF16) {
        direction<bf16>(dst, c);
    } else {
        direction<float>(dst, c);
    }
}

} // namespace cuda
} // namespace steer
