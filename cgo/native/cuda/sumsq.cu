// sumsq: sum of x_i^2 in double, for the global gradient norm.
//
// Every block sums a fixed part, a last block the parts in order: the bits depend on n alone.

#include "device.h"
#include "launch.h"

#include <algorithm>

namespace steer {
namespace cuda {
namespace {

constexpr int THREADS = 256, MOST_PARTS = 1024;

__global__ void sum_squares(const float * x, int64_t n, int64_t part, double * sums) {
    const int64_t begin = blockIdx.x * part, end = begin + part < n ? begin + part : n;
    double        sum = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
        sum += (double) x[i] * (double) x[i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
    }
}

__global__ void sum_parts(const double * parts, int n, double * out) {
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        sum += parts[i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        *out = sum;
    }
}

} // namespace
} // namespace cuda
} // namespace steer

void steer_cuda_sumsq(const float * x, int64_t n, double * out, steer_cuda & c) {
    using namespace steer::cuda;
    const int64_t   parts = std::max<int64_t>(1, std::min<int64_t>(MOST_PARTS, (n + 4095) / 4096));
    const int64_t   part  = (n + parts - 1) / parts;
    naming("sumsq of " + std::to_string(n) + " values", [&] {
        c.enter();
        Scratch<double> sums(c, parts);
        launch(c, "sum_squares", sum_squares, dim3((unsigned) parts), THREADS, 0, x, n, part, (double *) sums);
        launch(c, "sum_parts", sum_parts, dim3(1), THREADS, 0, (const double *) sums, (int) parts, out);
    });
}
