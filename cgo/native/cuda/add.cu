// add: y = a + b, the sum of a residual stream. ggml's own takes shapes of any kind, and three times as long.
//   y_i = a_i + b_i;  y may be a or b

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

__global__ void add_fours(const float * a, const float * b, float * y, int64_t n) {
    const int64_t i = ((int64_t) blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i + 3 < n) {
        Values<4>       x = load<4>(a + i);
        const Values<4> z = load<4>(b + i);
        for (int j = 0; j < 4; j++) {
            x.v[j] += z.v[j];
        }
        store<4>(y + i, x);
    } else {
        for (int64_t j = i; j < n; j++) {
            y[j] = a[j] + b[j];
        }
    }
}

} // namespace
} // namespace cuda
} // namespace steer

void steer_cuda_add(const float * a, const float * b, float * y, int64_t n, steer_cuda & c) {
    using namespace steer::cuda;
    naming("add", [&] {
        c.enter();
        require(((uintptr_t) a | (uintptr_t) b | (uintptr_t) y) % 16 == 0,
                "arrays that do not begin at a multiple of 16 bytes");
        launch(c, "add_fours", add_fours, dim3((unsigned) ((n + 1023) / 1024)), 256, 0, a, b, y, n);
    });
}
