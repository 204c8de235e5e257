// bias: y = x + b, token by token.
//   dst y f32 or bf16 [N,T]; src0 x [N,T], src1 b [N]

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token a block.
template <int V, class To> __global__ void add_bias(Rows<const float> x, const float * b, Rows<To> y, int n) {
    const float * in  = x.data + blockIdx.x * x.stride;
    To *          out = y.data + blockIdx.x * y.stride;
    for (int i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        Values<V>       a = load<V>(in + i);
        const Values<V> c = load<V>(b + i);
        for (int j = 0; j < V; j++) {
            a.v[j] += c.v[j];
        }
        store<V>(out + i, a);
    }
}

} // namespace

void bias(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * x = dst->src[0];
    const ggml_tensor * b = dst->src[1];
    const int64_t       n = dst->ne[0], T = dst->ne[1];
    require_packed(dst, n, T, "dst");
    require_f32(x, n, T, "x is not f32 of dst's shape");
    require_f32(b, n, 1, "b is not f32 [N]");
    by_type(dst, [&](auto type) {
        using To          = decltype(type);
        const auto kernel = in_fours(x) && in_fours(b) && in_fours(dst) ? add_bias<4, To> : add_bias<1, To>;
        launch(c, "add_bias", kernel, dim3((unsigned) T), 256, 0, rows_of<const float>(x), floats_of(b),
               rows_of<To>(dst), (int) n);
    });
}

} // namespace cuda
} // namespace steer
