// norm: RMS norm with its weight.
//   y_i = w_i x_i r,  r = 1/sqrt(mean(x^2) + eps)
//   dst y [n,T] f32 or bf16; src0 x [n,T], src1 w [n]; f0 = eps
//   i1 = g > 0: the same for every g features by themselves, w is [g]

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token, or one of its groups of n features, a block.
template <int V, class To>
__global__ void norm_rows(Rows<const float> x, const float * w, Rows<To> y, int n, float eps) {
    const float * in  = x.data + blockIdx.x * x.stride + (int64_t) blockIdx.y * n;
    To *          out = y.data + blockIdx.x * y.stride + (int64_t) blockIdx.y * n;
    float         sum = 0;
#pragma unroll 4
    for (int i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        const Values<V> a = load<V>(in + i);
        for (int j = 0; j < V; j++) {
            sum += a.v[j] * a.v[j];
        }
    }
    const float r = rsqrtf(block_sum(sum) / (float) n + eps);
#pragma unroll 4
    for (int i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        Values<V>       a = load<V>(in + i);
        const Values<V> b = load<V>(w + i);
        for (int j = 0; j < V; j++) {
            a.v[j] = a.v[j] * r * b.v[j];
        }
        store<V>(out + i, a);
    }
}

} // namespace

void norm(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * x = dst->src[0];
    const ggml_tensor * w = dst->src[1];
    const int64_t       n = dst->ne[0], T = dst->ne[1], g = params_of(dst).i[1] ? params_of(dst).i[1] : n;
    require_packed(dst, n, T, "dst");
    require_f32(x, n, T, "x is not f32 of dst's shape");
    require(g > 0 && n % g == 0, "rows are not whole groups");
    require_f32(w, g, 1, "w is not f32 [n] or [g]");
    by_type(dst, [&](auto type) {
        using To          = decltype(type);
        const auto kernel = in_fours(x) && in_fours(w) && in_fours(dst) ? norm_rows<4, To> : norm_rows<1, To>;
        launch(c, "norm_rows", kernel, dim3((unsigned) T, (unsigned) (n / g)), g < n ? 64 : 256, 0,
               rows_of<const float>(x), floats_of(w), rows_of<To>(dst), (int) g, params_of(dst).f[0]);
    });
}

} // namespace cuda
} // namespace steer
