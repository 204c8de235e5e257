// gemm_rate: what the device's matrix products in bf16 reach, the yardstick of `steer bench`.
//   C = A^T B, all n x n, A and B random in bf16, C f32 with sums in f32; 2 n^3 operations
//
// Random numbers, since products of zeros draw less power and run faster.

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// x[i] uniform in [-1, 1): the finalizer of MurmurHash3 on i.
__global__ void random_values(bf16 * x, int64_t n, uint32_t seed) {
    const int64_t i = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        uint32_t h = (uint32_t) i ^ seed;
        h ^= h >> 16, h *= 0x85EBCA6Bu, h ^= h >> 13, h *= 0xC2B2AE35u, h ^= h >> 16;
        x[i] = to_bf16((float) h * 4.65661287e-10f - 1.0f); // 2^-31
    }
}

} // namespace
} // namespace cuda
} // namespace steer

void steer_cuda_gemm_rate(int64_t n, int times, steer_cuda & c, const std::function<void()> & ready) {
    using namespace steer::cuda;
    naming("gemm_rate", [&] {
        c.enter();
        require(n > 0 && n <= 32768, "a size outside 1 ... 32768");
        Scratch<bf16>  A(c, n * n), B(c, n * n);
        Scratch<float> C(c, n * n);
        const dim3     grid((unsigned) ((n * n + 255) / 256));
        launch(c, "random_values", random_values, grid, 256, 0, (bf16 *) A, n * n, 1u);
        launch(c, "random_values", random_values, grid, 256, 0, (bf16 *) B, n * n, 0x9E3779B9u);
        for (int i = -2; i < times; i++) { // the first two choose and load the kernel
            if (i == 0) {
                ready();
            }
            c.gemm({ true, false, n, n, n, 1, GGML_TYPE_BF16, (bf16 *) A, n, (bf16 *) B, n, 0, (float *) C, n });
        }
        ready();
    });
}
