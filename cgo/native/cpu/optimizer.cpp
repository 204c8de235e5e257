// AdamW and the gradient norm over flat arrays; formulas in ../ops.h.

#include "kernels.h"
#include "../ops.h"

#include <cmath>

extern "C" double steer_cpu_sumsq(const float * x, int64_t n) {
    // Eight running sums, joined at the end of each chunk.
    constexpr int64_t CHUNK = 4096;
    double            total = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t end  = i + CHUNK < n ? i + CHUNK : n;
        double        s[8] = {};
        int64_t       j    = i;
        for (; j + 8 <= end; j += 8) {
            for (int k = 0; k < 8; k++) {
                s[k] += (double) x[j + k] * x[j + k];
            }
        }
        for (int k = 0; j < end; j++, k++) {
            s[k] += (double) x[j] * x[j];
        }
        total += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
    return total;
}

extern "C" void steer_cpu_adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1,
                                double b2, double eps, double wd, double gscale, int64_t step) {
    const double c1 = 1 - std::pow(b1, (double) step), c2 = 1 - std::pow(b2, (double) step);
    steer::kernels().adamw(p, g, m, v, n, (float) (1 - lr * wd), (float) (lr / c1), (float) b1, (float) (1 - b1),
                           (float) b2, (float) (1 - b2), (float) eps, (float) (1 / std::sqrt(c2)), (float) gscale);
}
