// head_direction_back: gradient of the log-probabilities, from head_direction's u.
//   dh[:, rows_r] += g[0,r] u_r
//   dst = src0 dh [n,T] in place; src1 out [4+n,R] (dst of head_direction), src2 rows I32 [R],
//   src3 g [2,R]; rows are distinct

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One target row a block.
__global__ void add_rows(Rows<float> dh, int64_t T, Rows<const float> out, const int32_t * rows, Rows<const float> g,
                         int n) {
    const int64_t r = blockIdx.x, row = rows[r];
    if (row < 0 || row >= T) {
        return;
    }
    const float   weight = g.data[r * g.stride];
    const float * u      = out.data + r * out.stride + 4;
    float *       d      = dh.data + row * dh.stride;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        d[i] += weight * u[i];
    }
}

} // namespace

void head_direction_back(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor * out  = dst->src[1];
    const ggml_tensor * rows = dst->src[2];
    const ggml_tensor * g    = dst->src[3];
    const int64_t       n = dst->ne[0], T = dst->ne[1], R = rows->ne[0];
    require_f32(dst, n, T, "dst is not f32");
    require_f32(out, 4 + n, R, "out is not f32 [4+n,R]");
    require_ints(rows, R, "rows are not I32 [R]");
    require_f32(g, 2, R, "g is not f32 [2,R]");
    launch(c, "add_rows", add_rows, dim3((unsigned) R), 256, 0, rows_of<float>(dst), T, rows_of<const float>(out),
           ints_of(rows), rows_of<const float>(g), (int) n);
}

} // namespace cuda
} // namespace steer
