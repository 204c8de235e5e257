// pack: y = bf16(x), round to nearest even.
//   dst bf16 [K,T]; src0 x [K,T]

#include "device.h"
#include "product.h"

namespace steer {
namespace cuda {
namespace {

// One row a block; V values a thread at a time.
template <int V, class From, class To> __global__ void convert_rows(Rows<const From> x, Rows<To> y, int64_t n) {
    const int64_t t = blockIdx.x;
    for (int64_t i = threadIdx.x * V; i < n; i += blockDim.x * V) {
        store<V>(y.data + t * y.stride + i, load<V>(x.data + t * x.stride + i));
    }
}

template <class From, class To>
void convert(steer_cuda & c, const ggml_tensor * x, To * y, int64_t stride, bool fours) {
    const int64_t n = x->ne[0], T = x->ne[1];
    const auto    kernel = fours ? convert_rows<4, From, To> : convert_rows<1, From, To>;
    launch(c, "convert_rows", kernel, dim3((unsigned) T), n > 512 ? 256 : 64, 0, rows_of<const From>(x),
           Rows<To>{ y, stride }, n);
}

} // namespace

void pack(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * x = dst->src[0];
    require_f32(x, dst->ne[0], dst->ne[1], "x is not f32 of dst's shape");
    require(dst->type == GGML_TYPE_BF16, "dst is not bf16");
    const Rows<bf16> y = rows_of<bf16>(dst);
    convert<float>(c, x, y.data, y.stride, in_fours(x) && in_fours(dst));
}

InType::InType(steer_cuda & c, const ggml_tensor * t, ggml_type type) :
    copy_(c, t->type == type ? 0 : t->ne[0] * t->ne[1] * (type == GGML_TYPE_BF16 ? 2 : 4)) {
    if (t->type == type) {
        matrix_ = { t->data, (int64_t) (t->nb[1] / ggml_element_size(t)) };
        return;
    }
    void * p = copy_;
    if (type == GGML_TYPE_BF16) {
        convert<float>(c, t, (bf16 *) p, t->ne[0], in_fours(t));
    } else {
        convert<bf16>(c, t, (float *) p, t->ne[0], in_fours(t));
    }
    matrix_ = { p, t->ne[0] };
}

} // namespace cuda
} // namespace steer
