#include "head.h"

namespace steer {
namespace cuda {
namespace {

// One target row a block.
template <class To> __global__ void gather(Rows<const float> h, int64_t T, const int32_t * rows, To * x, int n) {
    const int64_t row = rows[blockIdx.x];
    To *          out = x + (int64_t) blockIdx.x * n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        put(out + i, row >= 0 && row < T ? h.data[row * h.stride + i] : NAN);
    }
}

// One target row a block.
__global__ void cap_rows(float * L, int64_t ld, int count, float cap) {
    float * l = L + blockIdx.x * ld;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        l[i] = cap * tanhf(l[i] / cap);
    }
}

} // namespace

void cap_logits(steer_cuda & c, const Panel & p, float * L, float cap) {
    launch(c, "cap_rows", cap_rows, dim3((unsigned) p.rows), 256, 0, L, p.ld, (int) p.count, cap);
}

void require_head(const ggml_tensor * W, const ggml_tensor * h, const ggml_tensor * rows, const steer_op_params & p) {
    require(rows && rows->type == GGML_TYPE_I32, "rows are not I32");
    require_f32(h, W->ne[0], h->ne[1], "h is not f32 [n,T]");
    require(p.f[0] > 0, "1/temperature is not positive");
    require(W->ne[1] < 0x7FFFFFFF, "too large a vocabulary");
}

void gather_rows(steer_cuda & c, const ggml_tensor * h, const int32_t * rows, int64_t n, ggml_type type, void * x) {
    const int  K    = (int) h->ne[0];
    const dim3 grid = dim3((unsigned) n);
    if (type == GGML_TYPE_BF16) {
        launch(c, "gather", gather<bf16>, grid, 256, 0, rows_of<const float>(h), h->ne[1], rows, (bf16 *) x, K);
    } else {
        launch(c, "gather", gather<float>, grid, 256, 0, rows_of<const float>(h), h->ne[1], rows, (float *) x, K);
    }
}

} // namespace cuda
} // namespace steer
