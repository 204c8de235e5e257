// scale: y = f0 x.
//   dst y f32 or bf16 [n,T]; src0 x [n,T]

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token a block.
template <int V, class To> __global__ void scale_rows(Rows<const float> x, Rows<To> y, int n, float factor) {
    const float * in  = x.data + blockIdx.x * x.stride;
    To *          out = y.data + blockIdx.x * y.stride;
    for (int i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        Values<V> a = load<V>(in + i);
        for (int j = 0; j < V; j++) {
            a.v[j] *= factor;
        }
        store<V>(out + i, a);
    }
}

} // namespace

void scale(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * x = dst->src[0];
    const int64_t       n = dst->ne[0], T = dst->ne[1];
    require_packed(dst, n, T, "dst");
    require_f32(x, n, T, "x is not f32 of dst's shape");
    by_type(dst, [&](auto type) {
        using To          = decltype(type);
        const auto kernel = in_fours(x) && in_fours(dst) ? scale_rows<4, To> : scale_rows<1, To>;
        launch(c, "scale_rows", kernel, dim3((unsigned) T), 256, 0, rows_of<const float>(x), rows_of<To>(dst), (int) n,
               params_of(dst).f[0]);
    });
}

} // namespace cuda
} // namespace steer
