// The scalar head, o_p = w . h[:, rows_p] + b, and its gradients.
//   scalar_head:           dst o [P]; src0 w [n], src1 b [1], src2 h [n,T], src3 rows I32 [P]
//   scalar_head_back:      dst dh [n,T] = 0, then dh[:, rows_p] += g_p w (i0 = 0: zeros only)
//                          src0 w, src1 h, src2 rows, src3 g [P]
//   scalar_head_grad:      dst = src0 gw [n] += sum_p g_p h[:, rows_p]; src1 h, src2 rows, src3 g
//   scalar_head_grad_bias: dst = src0 gb [1] += sum_p g_p; src1 g
// Rows may repeat.

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

constexpr int THREADS = 256;

// One output a block.
__global__ void dots(const float * w, const float * b, Rows<const float> h, int64_t T, const int32_t * rows, float * o,
                     int n) {
    const int64_t row = rows[blockIdx.x];
    const bool    ok  = row >= 0 && row < T;
    float         sum = 0;
    for (int i = threadIdx.x; i < n && ok; i += blockDim.x) {
        sum += w[i] * h.data[row * h.stride + i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        o[blockIdx.x] = ok ? sum + *b : NAN;
    }
}

// One token a block: the sum of its g, times w.
__global__ void token_gradients(const float * w, const int32_t * rows, const float * g, int P, Rows<float> dh, int n) {
    float sum = 0;
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        sum += rows[p] == (int) blockIdx.x ? g[p] : 0.0f;
    }
    sum = block_sum(sum);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        dh.data[blockIdx.x * dh.stride + i] = sum != 0 ? sum * w[i] : 0.0f;
    }
}

__global__ void zero_rows(Rows<float> x, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        x.data[blockIdx.x * x.stride + i] = 0;
    }
}

// 32 features a block; warp k takes outputs k, k + 8, ...
__global__ void weight_gradients(float * gw, Rows<const float> h, int64_t T, const int32_t * rows, const float * g,
                                 int P, int n) {
    __shared__ float partial[THREADS / 32][32];
    const int        lane = threadIdx.x % 32, warp = threadIdx.x / 32, i = blockIdx.x * 32 + lane;
    float            sum = 0;
    for (int p = warp; p < P && i < n; p += THREADS / 32) {
        const int64_t row = rows[p];
        sum += row >= 0 && row < T ? g[p] * h.data[row * h.stride + i] : NAN;
    }
    partial[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && i < n) {
        float total = 0;
        for (int k = 0; k < THREADS / 32; k++) {
            total += partial[k][lane];
        }
        gw[i] += total;
    }
}

// One block.
__global__ void sum_to(const float * g, int P, float * gb) {
    double sum = 0;
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        sum += (double) g[p];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        *gb += (float) sum;
    }
}

} // namespace

void scalar_head(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * w = dst->src[0];
    const ggml_tensor * h = dst->src[2];
    const int64_t       n = w->ne[0], P = dst->ne[0];
    require_f32(dst, P, 1, "dst is not f32 [P]");
    require_f32(w, n, 1, "w is not f32 [n]");
    require_f32(dst->src[1], 1, 1, "b is not f32 [1]");
    require_f32(h, n, h->ne[1], "h is not f32 [n,T]");
    require_ints(dst->src[3], P, "rows are not I32 [P]");
    launch(c, "dots", dots, dim3((unsigned) P), THREADS, 0, floats_of(w), floats_of(dst->src[1]),
           rows_of<const float>(h), h->ne[1], ints_of(dst->src[3]), (float *) dst->data, (int) n);
}

void scalar_head_back(ggml_tensor * dst, steer_cuda & c) {
    const int64_t n = dst->ne[0], T = dst->ne[1];
    require_f32(dst, n, T, "dst is not f32");
    if (!params_of(dst).i[0]) {
        launch(c, "zero_rows", zero_rows, dim3((unsigned) T), THREADS, 0, rows_of<float>(dst), (int) n);
        return;
    }
    const ggml_tensor * rows = dst->src[2];
    const int64_t       P    = rows->ne[0];
    require_f32(dst->src[0], n, 1, "w is not f32 [n]");
    require_ints(rows, P, "rows are not I32 [P]");
    require_f32(dst->src[3], P, 1, "g is not f32 [P]");
    launch(c, "token_gradients", token_gradients, dim3((unsigned) T), THREADS, 0, floats_of(dst->src[0]), ints_of(rows),
           floats_of(dst->src[3]), (int) P, rows_of<float>(dst), (int) n);
}

void scalar_head_grad(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * h    = dst->src[1];
    const ggml_tensor * rows = dst->src[2];
    const int64_t       n = dst->ne[0], P = rows->ne[0];
    require_f32(dst, n, 1, "dst is not f32 [n]");
    require_f32(h, n, h->ne[1], "h is not f32 [n,T]");
    require_ints(rows, P, "rows are not I32 [P]");
    require_f32(dst->src[3], P, 1, "g is not f32 [P]");
    launch(c, "weight_gradients", weight_gradients, dim3((unsigned) ((n + 31) / 32)), THREADS, 0, (float *) dst->data,
           rows_of<const float>(h), h->ne[1], ints_of(rows), floats_of(dst->src[3]), (int) P, (int) n);
}

void scalar_head_grad_bias(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * g = dst->src[1];
    require_f32(dst, 1, 1, "dst is not f32 [1]");
    require_f32(g, g->ne[0], 1, "g is not f32 [P]");
    launch(c, "sum_to", sum_to, dim3(1), THREADS, 0, floats_of(g), (int) g->ne[0], (float *) dst->data);
}

} // namespace cuda
} // namespace steer
