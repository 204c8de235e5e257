// adamw, sumsq: against double precision and the CPU's.

#include "../emulation/cuda_emulation.h"
#include "cuda_harness.h"

#include <cmath>

namespace test {
namespace {

// torch.optim.AdamW by its formula, in double, three steps.
void adamw_case() {
    const int64_t       n = 301;
    const TensorPtr     p = random(n), m = zeros(n), v = zeros(n);
    const TensorPtr     p2 = std::make_shared<Tensor>(*p), m2 = zeros(n), v2 = zeros(n);
    std::vector<double> P = values(p), M(n), V(n);
    const double        lr = 1e-2, b1 = 0.9, b2 = 0.999, eps = 1e-8, wd = 0.1, scale = 0.5;
    for (int step = 1; step <= 3; step++) {
        const TensorPtr g = random(n, 1, 0.1);
        for (int64_t i = 0; i < n; i++) {
            const double gi = g->at(i) * scale;
            P[i] *= 1 - lr * wd;
            M[i] = b1 * M[i] + (1 - b1) * gi;
            V[i] = b2 * V[i] + (1 - b2) * gi * gi;
            P[i] -= lr * (M[i] / (1 - std::pow(b1, step))) / (std::sqrt(V[i] / (1 - std::pow(b2, step))) + eps);
        }
        steer_cuda_adamw(p->f32(), g->f32(), m->f32(), v->f32(), n, lr, b1, b2, eps, wd, scale, step, device());
        steer_cpu_adamw(p2->f32(), g->f32(), m2->f32(), v2->f32(), n, lr, b1, b2, eps, wd, scale, step);
    }
    check("adamw parameters", values(p), P, 1e-6);
    check("adamw first moment", values(m), M, 1e-6);
    check("adamw second moment", values(v), V, 1e-6);
    check("adamw parameters against the CPU's", values(p), values(p2), 1e-6);
}

void sumsq_case(int64_t n) {
    const TensorPtr x = random(n);
    double          want = 0, got[2] = {};
    for (int64_t i = 0; i < n; i++) {
        want += x->at(i) * x->at(i);
    }
    for (int i = 0; i < 2; i++) {
        emulation::set_schedule(i ? emulation::Schedule::random : emulation::Schedule::forward);
        steer_cuda_sumsq(x->f32(), n, &got[i], device());
    }
    check("sumsq", { got[0] }, { want }, 1e-12);
    check("sumsq against the CPU's", { got[0] }, { steer_cpu_sumsq(x->f32(), n) }, 1e-12);
    expect("sumsq: same bits in another order", got[0] == got[1]);
}

} // namespace

void test_cuda_optimizer() {
    adamw_case();
    sumsq_case(1);
    sumsq_case(20007);
}

} // namespace test
