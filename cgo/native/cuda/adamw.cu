// adamw: one step of torch.optim.AdamW over flat arrays; formula in ../ops.h.

#include "device.h"
#include "launch.h"

#include <cmath>

namespace steer {
namespace cuda {
namespace {

struct Coefficients {
    float decay;      // 1 - lr wd
    float rate;       // lr / (1 - b1^step)
    float b1, rest1;  // b1, 1 - b1
    float b2, rest2;
    float eps;
    float correction; // 1 / sqrt(1 - b2^step)
    float scale;      // of the gradient
};

__global__ void adamw_step(float * p, const float * g, float * m, float * v, int64_t n, Coefficients a) {
    const int64_t i = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        const float grad = g[i] * a.scale;
        const float mean = a.b1 * m[i] + a.rest1 * grad;
        const float var  = a.b2 * v[i] + a.rest2 * grad * grad;
        m[i]             = mean;
        v[i]             = var;
        p[i]             = p[i] * a.decay - a.rate * mean / (sqrtf(var) * a.correction + a.eps);
    }
}

} // namespace
} // namespace cuda
} // namespace steer

void steer_cuda_adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2,
                      double eps, double wd, double gscale, int64_t step, steer_cuda & c) {
    using namespace steer::cuda;
    if (n == 0) {
        return;
    }
    const double       c1 = 1 - std::pow(b1, (double) step), c2 = 1 - std::pow(b2, (double) step);
    const Coefficients a = { (float) (1 - lr * wd), (float) (lr / c1), (float) b1, (float) (1 - b1), (float) b2,
                             (float) (1 - b2),      (float) eps,       (float) (1 / std::sqrt(c2)), (float) gscale };
    naming("adamw of " + std::to_string(n) + " values", [&] {
        c.enter();
        launch(c, "adamw_step", adamw_step, dim3((unsigned) ((n + 255) / 256)), 256, 0, p, g, m, v, n, a);
    });
}
