// geglu: y = gelu(gate) up, gelu(g) = g/2 (1 + tanh z) = g / (1 + exp(-2z)), z = sqrt(2/pi) (g + 0.044715 g^3).
//   dst y [F,T] f32 or bf16; src0 gate [F,T], src1 up [F,T], both f32 or both bf16

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token a block.
template <int V, class From, class To>
__global__ void geglu_rows(Rows<const From> gate, Rows<const From> up, Rows<To> y, int F) {
    const int64_t t = blockIdx.x;
    for (int i = threadIdx.x * V; i < F; i += blockDim.x * V) {
        Values<V>       g = load<V>(gate.data + t * gate.stride + i);
        const Values<V> u = load<V>(up.data + t * up.stride + i);
        for (int j = 0; j < V; j++) {
            const float x = g.v[j], twice_z = x * (1.5957691216057308f + 0.07135481282553506f * (x * x));
            g.v[j]        = x / (1.0f + expf(-twice_z)) * u.v[j]; // exp of a large value is infinite: 0
        }
        store<V>(y.data + t * y.stride + i, g);
    }
}

} // namespace

void geglu(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const int64_t       F = dst->ne[0], T = dst->ne[1];
    require_packed(dst, F, T, "dst");
    require_packed(gate, F, T, "gate");
    require_packed(up, F, T, "up");
    require(gate->type == up->type, "gate and up of two types");
    by_type(gate, [&](auto from) {
        by_type(dst, [&](auto to) {
            using From        = decltype(from);
            using To          = decltype(to);
            const auto kernel =
                in_fours(gate) && in_fours(up) && in_fours(dst) ? geglu_rows<4, From, To> : geglu_rows<1, From, To>;
            launch(c, "geglu_rows", kernel, dim3((unsigned) T), 256, 0, rows_of<const From>(gate),
                   rows_of<const From>(up), rows_of<To>(dst), (int) F);
        });
    });
}

} // namespace cuda
} // namespace steer
