// geglu_back: gradient of y = gelu(gate) up, gelu(g) = g s(2z), z = sqrt(2/pi) (g + 0.044715 g^3),
//   s the logistic function.
//   d_gate = dy up s (1 + 2 g z' (1 - s)),  z' = sqrt(2/pi) (1 + 0.134145 g^2),  d_up = dy g s
//   dst [2F,T] = d_gate | d_up, f32 or bf16; src0 gate [F,T], src1 up [F,T], both f32 or both bf16, src2 dy [F,T]

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token a block.
template <int V, class From, class To>
__global__ void geglu_back_rows(Rows<const From> gate, Rows<const From> up, Rows<const float> dy, Rows<To> dst, int F) {
    const int64_t t   = blockIdx.x;
    To *          out = dst.data + t * dst.stride;
    for (int i = threadIdx.x * V; i < F; i += blockDim.x * V) {
        Values<V>       g = load<V>(gate.data + t * gate.stride + i);
        Values<V>       u = load<V>(up.data + t * up.stride + i);
        const Values<V> d = load<V>(dy.data + t * dy.stride + i);
        for (int j = 0; j < V; j++) {
            const float x = g.v[j], e = expf(-x * (1.5957691216057308f + 0.07135481282553506f * (x * x)));
            const float s = 1.0f / (1.0f + e), rest = e > 3.0e38f ? 1.0f : e * s; // 1 - s, without cancellation
            const float slope = 1.5957691216057308f + 0.2140644384766052f * (x * x); // of 2z
            g.v[j]            = d.v[j] * u.v[j] * s * (1.0f + x * slope * rest);
            u.v[j]            = d.v[j] * x * s;
        }
        store<V>(out + i, g);
        store<V>(out + F + i, u);
    }
}

} // namespace

void geglu_back(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * gate = dst->src[0];
    const ggml_tensor * up   = dst->src[1];
    const ggml_tensor * dy   = dst->src[2];
    const int64_t       F = gate->ne[0], T = gate->ne[1];
    require_packed(dst, 2 * F, T, "dst");
    require_packed(gate, F, T, "gate");
    require_packed(up, F, T, "up");
    require(gate->type == up->type, "gate and up of two types");
    require_f32(dy, F, T, "dy is not f32 of gate's shape");
    const bool fours = F % 4 == 0 && in_fours(gate) && in_fours(up) && in_fours(dy) && in_fours(dst);
    by_type(gate, [&](auto from) {
        by_type(dst, [&](auto to) {
            using From        = decltype(from);
            using To          = decltype(to);
            const auto kernel = fours ? geglu_back_rows<4, From, To> : geglu_back_rows<1, From, To>;
            launch(c, "geglu_back_rows", kernel, dim3((unsigned) T), 256, 0, rows_of<const From>(gate),
                   rows_of<const From>(up), rows_of<const float>(dy), rows_of<To>(dst), (int) F);
        });
    });
}

} // namespace cuda
} // namespace steer
