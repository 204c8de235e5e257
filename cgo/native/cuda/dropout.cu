// Dropout of LoRA inputs: feature k of token t is kept if steer_dropout_bits(key_t, k) >=
// p 2^32, and then multiplied by 1/(1-p). The hash is ../ops.h's, the same on every device.

#include "device.h"
#include "lora.h"

namespace steer {
namespace cuda {
namespace {

struct Mask {
    const int32_t * seeds; // [2,T]
    int64_t         stride;
    int32_t         site;
    uint32_t        threshold;
    float           scale;

    __device__ steer_dropout_key key(int64_t t) const {
        return steer_dropout_key_of((uint32_t) seeds[t * stride], (uint32_t) seeds[t * stride + 1], site);
    }
    __device__ float apply(steer_dropout_key key, int64_t k, float x) const {
        return steer_dropout_bits(key, (uint32_t) k) >= threshold ? x * scale : 0.0f;
    }
};

Mask mask_of(const ggml_tensor * seeds, const steer_op_params & p, int64_t T) {
    require(seeds->type == GGML_TYPE_I32 && seeds->ne[0] == 2 && seeds->ne[1] == T, "seeds are not I32 [2,T]");
    const Rows<const int32_t> s = rows_of<const int32_t>(seeds);
    return { s.data, s.stride, p.i[0], steer_dropout_threshold(p.f[1]), 1.0f / (1.0f - p.f[1]) };
}

template <int V, class T> __global__ void drop_rows(Rows<const T> x, Rows<T> y, int64_t n, Mask mask) {
    const int64_t           t   = blockIdx.x;
    const steer_dropout_key key = mask.key(t);
    for (int64_t i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        Values<V> a = load<V>(x.data + t * x.stride + i);
        for (int j = 0; j < V; j++) {
            a.v[j] = mask.apply(key, i + j, a.v[j]);
        }
        store<V>(y.data + t * y.stride + i, a);
    }
}

template <int V> __global__ void drop_add_rows(Rows<const float> x, Rows<float> y, int64_t n, Mask mask) {
    const int64_t           t   = blockIdx.x;
    const steer_dropout_key key = mask.key(t);
    for (int64_t i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        const Values<V> a = load<V>(x.data + t * x.stride + i);
        Values<V>       b = load<V>(y.data + t * y.stride + i);
        for (int j = 0; j < V; j++) {
            b.v[j] += mask.apply(key, i + j, a.v[j]);
        }
        store<V>(y.data + t * y.stride + i, b);
    }
}

} // namespace

bool Dropped::on(const ggml_tensor * seeds, const steer_op_params & p) {
    require(p.f[1] >= 0 && p.f[1] < 1 && (p.f[1] == 0 || seeds), "dropout without seeds, or p outside [0, 1)");
    return seeds && p.f[1] > 0;
}

Dropped::Dropped(steer_cuda & c, const ggml_tensor * x, const ggml_tensor * seeds, const steer_op_params & p) :
    copy_(c, on(seeds, p) ? x->ne[0] * x->ne[1] * (int64_t) ggml_element_size(x) : 0),
    matrix_{ x->data, (int64_t) (x->nb[1] / ggml_element_size(x)) } {
    if (!on(seeds, p)) {
        return;
    }
    const int64_t n = x->ne[0], T = x->ne[1];
    const Mask    mask = mask_of(seeds, p, T);
    by_type(x, [&](auto type) {
        using V           = decltype(type);
        const auto kernel = in_fours(x) ? drop_rows<4, V> : drop_rows<1, V>;
        launch(c, "drop_rows", kernel, dim3((unsigned) T), 256, 0, rows_of<const V>(x),
               Rows<V>{ (V *) (char *) copy_, n }, n, mask);
    });
    matrix_ = { (const char *) copy_, n };
}

void add_dropped(steer_cuda & c, const float * x, const ggml_tensor * dx, const ggml_tensor * seeds,
                 const steer_op_params & p) {
    const int64_t n = dx->ne[0], T = dx->ne[1];
    const auto    kernel = in_fours(dx) ? drop_add_rows<4> : drop_add_rows<1>;
    launch(c, "drop_add_rows", kernel, dim3((unsigned) T), 256, 0, Rows<const float>{ x, n }, rows_of<float>(dx), n,
           mask_of(seeds, p, T));
}

} // namespace cuda
} // namespace steer
