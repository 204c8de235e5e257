// The scalar head, o_p = w . h[:, rows_p] + b, and its gradients.
//   scalar_head:           dst o [P]; src0 w [n], src1 b [1], src2 h [n,T], src3 rows I32 [P]
//   scalar_head_back:      dst dh [n,T] = 0, then dh[:, rows_p] += g_p w (i0 = 0: zeros only)
//                          src0 w, src1 h, src2 rows, src3 g [P]
//   scalar_head_grad:      dst = src0 gw [n] += sum_p g_p h[:, rows_p]; src1 h, src2 rows, src3 g
//   scalar_head_grad_bias: dst = src0 gb [1] += sum_p g_p; src1 g

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_scalar_head(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * w    = dst->src[0];
    const ggml_tensor * h    = dst->src[2];
    const ggml_tensor * rows = dst->src[3];
    const int64_t       n = w->ne[0], P = rows->ne[0];
    check_f32(h, n, h->ne[1]);
    check_f32(dst, P, 1);
    const float b = *row_f32(dst->src[1], 0);
    const Share share(P, ith, nth);
    for (int64_t p = share.begin; p < share.end; p++) {
        row_f32(dst, 0)[p] = kernels().dot(row_f32(w, 0), row_f32(h, ints(rows)[p]), (int) n) + b;
    }
}

extern "C" void steer_cpu_scalar_head_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * w = dst->src[0];
    const int64_t       n = dst->ne[0];
    check_f32(dst, n, dst->ne[1]);
    const Share share(dst->ne[1], ith, nth);
    for (int64_t t = share.begin; t < share.end; t++) {
        std::memset(row_f32(dst, t), 0, n * sizeof(float));
    }
    if (!params_of(dst).i[0]) {
        return;
    }
    const ggml_tensor * rows = dst->src[2];
    const float *       g    = row_f32(dst->src[3], 0);
    check_f32(w, n, 1);
    // The gradients of a token first, so that repeated rows cost no digits.
    double * sum = scratch().get<double>(SLOT_A, share.end - share.begin + 1);
    std::memset(sum, 0, (share.end - share.begin) * sizeof(double));
    for (int64_t p = 0; p < rows->ne[0]; p++) {
        const int64_t t = ints(rows)[p];
        if (t >= share.begin && t < share.end) {
            sum[t - share.begin] += g[p];
        }
    }
    for (int64_t t = share.begin; t < share.end; t++) {
        if (sum[t - share.begin] != 0) {
            kernels().axpy(row_f32(dst, t), row_f32(w, 0), (int) n, (float) sum[t - share.begin]);
        }
    }
}

extern "C" void steer_cpu_scalar_head_grad(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * h    = dst->src[1];
    const ggml_tensor * rows = dst->src[2];
    const float *       g    = row_f32(dst->src[3], 0);
    const int64_t       n    = dst->ne[0];
    check_f32(h, n, h->ne[1]);
    const Share share((n + 63) / 64, ith, nth); // whole vectors for every thread: the same rounding for any nth
    const int64_t begin = share.begin * 64, end = share.end * 64 < n ? share.end * 64 : n;
    for (int64_t p = 0; p < rows->ne[0] && begin < end; p++) {
        kernels().axpy(row_f32(dst, 0) + begin, row_f32(h, ints(rows)[p]) + begin, (int) (end - begin), g[p]);
    }
}

extern "C" void steer_cpu_scalar_head_grad_bias(ggml_tensor * dst, int ith, int, void *) {
    const ggml_tensor * g = dst->src[1];
    if (ith != 0) {
        return;
    }
    double sum = 0;
    for (int64_t p = 0; p < g->ne[0]; p++) {
        sum += row_f32(g, 0)[p];
    }
    *row_f32(dst, 0) += (float) sum;
}
