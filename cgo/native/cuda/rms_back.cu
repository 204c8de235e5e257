// rms_back: gradient of y = w x r, r = 1/sqrt(mean(x^2) + eps), with respect to x.
//   dx_i (+)= r w_i dy_i - x_i r^3/n sum_k w_k dy_k x_k
//   overwriting (i0 = 0): dst dx [n,T]; src0 x [n,T], src1 w [n], src2 dy [n,T]
//   accumulating (i0 = 1): dst = src0 dx in place; src1 x, src2 w, src3 dy
//   i1 = g > 0: the same for every g features by themselves, w is [g]

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token, or one of its groups of n features, a block.
template <int V>
__global__ void rms_back_rows(Rows<const float> x, const float * w, Rows<const float> dy, Rows<float> dx, int n,
                              float eps, bool accumulate) {
    const int64_t first = (int64_t) blockIdx.y * n;
    const float * in    = x.data + blockIdx.x * x.stride + first;
    const float * grad  = dy.data + blockIdx.x * dy.stride + first;
    float *       out   = dx.data + blockIdx.x * dx.stride + first;
    float         sum = 0, dot = 0;
#pragma unroll 4
    for (int i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        const Values<V> a = load<V>(in + i), b = load<V>(w + i), g = load<V>(grad + i);
        for (int j = 0; j < V; j++) {
            sum += a.v[j] * a.v[j];
            dot += a.v[j] * b.v[j] * g.v[j];
        }
    }
    const float r = rsqrtf(block_sum(sum) / (float) n + eps);
    const float s = block_sum(dot) * r * r * r / (float) n;
#pragma unroll 4
    for (int i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        const Values<V> a = load<V>(in + i), b = load<V>(w + i), g = load<V>(grad + i);
        Values<V>       d;
        if (accumulate) {
            d = load<V>(out + i);
        }
        for (int j = 0; j < V; j++) {
            const float grad_x = r * b.v[j] * g.v[j] - a.v[j] * s;
            d.v[j]             = accumulate ? d.v[j] + grad_x : grad_x;
        }
        store<V>(out + i, d);
    }
}

} // namespace

void rms_back(ggml_tensor * dst, steer_cuda & c) {
    const bool          acc = params_of(dst).i[0] != 0;
    const ggml_tensor * x   = dst->src[acc];
    const ggml_tensor * w   = dst->src[acc + 1];
    const ggml_tensor * dy  = dst->src[acc + 2];
    const int64_t       n = dst->ne[0], T = dst->ne[1], g = params_of(dst).i[1] ? params_of(dst).i[1] : n;
    require_f32(dst, n, T, "dst is not f32");
    require_f32(x, n, T, "x is not f32 of dst's shape");
    require(g > 0 && n % g == 0, "rows are not whole groups");
    require_f32(w, g, 1, "w is not f32 [n] or [g]");
    require_f32(dy, n, T, "dy is not f32 of dst's shape");
    const auto kernel =
        in_fours(x) && in_fours(w) && in_fours(dy) && in_fours(dst) ? rms_back_rows<4> : rms_back_rows<1>;
    launch(c, "rms_back_rows", kernel, dim3((unsigned) T, (unsigned) (n / g)), g < n ? 64 : 256, 0,
           rows_of<const float>(x), floats_of(w), rows_of<const float>(dy), rows_of<float>(dst), (int) g,
           params_of(dst).f[0], acc);
}

} // namespace cuda
} // namespace steer
