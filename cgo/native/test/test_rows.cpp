// rms_back, swiglu_back, optimizer helpers, the table.

#include "harness.h"

#include <cmath>
#include <cstring>

namespace test {
namespace {

void rms_case(int64_t n, int64_t T, bool accumulate) {
    const double        eps = 1e-5;
    const TensorPtr     x = random(n, T, 2, 1), w = random(n), dy = random(n, T, 1, 2), dx = random(n, T, 1, 3);
    std::vector<double> want = accumulate ? values(dx) : std::vector<double>(n * T);
    for (int64_t t = 0; t < T; t++) {
        double ss = 0, sd = 0;
        for (int64_t i = 0; i < n; i++) {
            ss += x->at(i, t) * x->at(i, t);
            sd += w->at(i) * dy->at(i, t) * x->at(i, t);
        }
        const double r = 1 / std::sqrt(ss / (double) n + eps);
        for (int64_t i = 0; i < n; i++) {
            want[t * n + i] += r * w->at(i) * dy->at(i, t) - x->at(i, t) * r * r * r / (double) n * sd;
        }
    }
    Params p;
    p.f[0] = (float) eps;
    p.i[0] = accumulate;
    run(STEER_OP_RMS_BACK, dx, { x, w, dy }, p, accumulate);
    check("rms_back", values(dx), want, 1e-5);
}

void swiglu_case(int64_t F, int64_t T) {
    const TensorPtr gate = random(F, T, 8, 1), up = random(F, T, 2), dy = random(F, T, 1, 2), d = zeros(2 * F, T, 1);
    gate->f32(0)[0] = 200;
    gate->f32(0)[1] = -200;
    std::vector<double> want(2 * F * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < F; i++) {
            const double g = gate->at(i, t), s = 1 / (1 + std::exp(-g));
            want[t * 2 * F + i]     = dy->at(i, t) * up->at(i, t) * s * (1 + g * (1 - s));
            want[t * 2 * F + F + i] = dy->at(i, t) * g * s;
        }
    }
    run(STEER_OP_SWIGLU_BACK, d, { gate, up, dy }, {}, false);
    check("swiglu_back", values(d), want, 1e-5);
}

// torch.optim.AdamW by its formula, in double, three steps.
void adamw_case() {
    const int64_t       n = 37;
    const TensorPtr     p = random(n), m = zeros(n), v = zeros(n);
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
        steer_cpu_adamw(p->f32(), g->f32(), m->f32(), v->f32(), n, lr, b1, b2, eps, wd, scale, step);
    }
    check("adamw parameters", values(p), P, 1e-6);
    check("adamw first moment", values(m), M, 1e-6);
    check("adamw second moment", values(v), V, 1e-6);
}

void sumsq_case() {
    const TensorPtr x = random(10007);
    double          s = 0;
    for (int64_t i = 0; i < x->ne0(); i++) {
        s += x->at(i) * x->at(i);
    }
    check("sumsq", { steer_cpu_sumsq(x->f32(), x->ne0()) }, { s }, 1e-12);
}

} // namespace

void test_rows() {
    rms_case(64, 5, false);
    rms_case(75, 33, true);
    swiglu_case(75, 5);
    swiglu_case(96, 1);
    adamw_case();
    sumsq_case();
    for (int i = 0; i < STEER_OP_COUNT; i++) {
        const steer_op * op = steer_op_get((steer_op_id) i);
        expect("table entry", op && op->cpu && steer_op_by_name(op->name) == op);
    }
    expect("unknown name", !steer_op_by_name("none") && !steer_op_get(STEER_OP_COUNT));
    expect("weight types", steer_weight_type_ok(GGML_TYPE_Q4_K) && !steer_weight_type_ok(GGML_TYPE_I32));
}

} // namespace test
