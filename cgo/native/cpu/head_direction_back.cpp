// head_direction_back: dh[:, rows_r] += g_r u_r, the rest of head_direction's gradient.
//   dst = src0 dh [n,T] in place; src1 out [4+n,R] (dst of head_direction), src2 rows I32 [R],
//   src3 g [2,R] = g_logp | g_entropy, of which the second must be 0 (head_logprob_back knows it)
//   rows are distinct

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_head_direction_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * out  = dst->src[1];
    const int32_t *     rows = ints(dst->src[2]);
    const ggml_tensor * g    = dst->src[3];
    const int64_t       K = dst->ne[0], R = dst->src[2]->ne[0];
    check_f32(dst, K, dst->ne[1]);
    check_f32(out, 4 + K, R);
    check_f32(g, 2, R);
    const Share share(R, ith, nth);
    for (int64_t r = share.begin; r < share.end; r++) {
        GGML_ASSERT(rows[r] >= 0 && rows[r] < dst->ne[1]);
        kernels().axpy(row_f32(dst, rows[r]), row_f32(out, r) + 4, (int) K, row_f32(g, r)[0]);
    }
}
