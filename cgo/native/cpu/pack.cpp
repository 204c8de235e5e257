// pack: y = bf16(x), round to nearest even.
//   dst bf16 [K,T]; src0 x [K,T]

#include "common.h"

using namespace steer;

extern "C" void steer_cpu_pack(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * x = dst->src[0];
    GGML_ASSERT(dst->type == GGML_TYPE_BF16);
    check_f32(x, dst->ne[0], dst->ne[1]);
    const Share share(x->ne[1], ith, nth);
    for (int64_t t = share.begin; t < share.end; t++) {
        kernels().to_bf16(row_f32(x, t), (uint16_t *) row_ptr(dst, t), x->ne[0]);
    }
}
