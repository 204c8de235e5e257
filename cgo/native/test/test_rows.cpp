// norm, rope_table, rope, rms_back, swiglu, swiglu_back, optimizer helpers, the table.

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

// A result in f32, or rounded to bf16.
void check_in(bool bf, const std::string & what, const TensorPtr & got, const std::vector<double> & want) {
    if (bf) {
        check_bf16(what, values(got), want, 1e-5);
    } else {
        check(what, values(got), want, 1e-5);
    }
}

void norm_case(int64_t n, int64_t T, bool bf) {
    const double        eps = 1e-5;
    const TensorPtr     x = random(n, T, 2, 1), w = random(n), y = activation(bf, n, T, 2);
    std::vector<double> want(n * T);
    for (int64_t t = 0; t < T; t++) {
        double ss = 0;
        for (int64_t i = 0; i < n; i++) {
            ss += x->at(i, t) * x->at(i, t);
        }
        for (int64_t i = 0; i < n; i++) {
            want[t * n + i] = w->at(i) * x->at(i, t) / std::sqrt(ss / (double) n + eps);
        }
    }
    Params p;
    p.f[0] = (float) eps;
    run(STEER_OP_NORM, y, { x, w }, p, false);
    check_in(bf, "norm", y, want);
}

void rope_case(int64_t D, int64_t H, bool factors, bool neox, bool bf) {
    const std::vector<int32_t> positions = { 0, 1, 17, 2, 8191 };
    const int64_t              T = (int64_t) positions.size();
    const TensorPtr            pos = integers(positions), freqs = random(D / 2 + 3), table = zeros(D, T, 1);
    Params                     p;
    p.f[0] = 10000;
    p.f[1] = 0.5f;
    p.f[2] = 1.1f;
    std::vector<double> want(D * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < D / 2; i++) {
            const double a =
                positions[t] * 0.5 * std::pow(10000.0, -2.0 * (double) i / (double) D) / (factors ? freqs->at(i) : 1);
            want[t * D + 2 * i] = 1.1 * std::cos(a);
            want[t * D + 2 * i + 1] = 1.1 * std::sin(a);
        }
    }
    run(STEER_OP_ROPE_TABLE, table, { pos, factors ? freqs : nullptr }, p, false);
    check("rope_table", values(table), want, 1e-6);

    const TensorPtr x = random(D * H, T, 1, 3), y = activation(bf, D * H, T, 1), back = zeros(D * H, T);
    want.assign(D * H * T, 0);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t h = 0; h < H; h++) {
            for (int64_t i = 0; i < D / 2; i++) {
                const int64_t a = h * D + (neox ? i : 2 * i), b = h * D + (neox ? i + D / 2 : 2 * i + 1);
                const double  c = table->at(2 * i, t), s = table->at(2 * i + 1, t);
                want[t * D * H + a] = x->at(a, t) * c - x->at(b, t) * s;
                want[t * D * H + b] = x->at(a, t) * s + x->at(b, t) * c;
            }
        }
    }
    Params q;
    q.i[0] = (int32_t) D;
    q.i[1] = neox ? 2 : 0;
    run(STEER_OP_ROPE, y, { x, table }, q, false);
    check_in(bf, "rope", y, want);
    if (!bf) { // the rotation back is the transpose: magnitude squared after both
        q.i[2] = 1;
        run(STEER_OP_ROPE, back, { y, table }, q, false);
        std::vector<double> twice = values(x);
        for (double & v : twice) {
            v *= 1.1 * 1.1;
        }
        check("rope back", values(back), twice, 1e-5);
    }
}

// bf: the result is bf16; narrow: gate and up are.
void gated_case(bool gelu, int64_t F, int64_t T, bool bf, bool narrow) {
    const TensorPtr g32 = random(F, T, 8, 1), u32 = random(F, T, 2), dy = random(F, T, 1, 2),
                    d              = activation(bf, 2 * F, T, 1);
    const TensorPtr y = activation(bf, F, T, 3);
    g32->f32(0)[0] = 200;
    g32->f32(0)[1] = -200;
    const TensorPtr           gate = narrow ? packed(g32, 1) : g32, up = narrow ? packed(u32, 2) : u32;
    const std::vector<double> gates = values(gate), ups = values(up);
    std::vector<double>       want(2 * F * T), value(F * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < F; i++) {
            const double g = gates[t * F + i], u = ups[t * F + i], c = std::sqrt(8 / M_PI); // gelu(g) = g s(2z)
            const double z = gelu ? c * (g + 0.044715 * g * g * g) : g, dz = gelu ? c * (1 + 0.134145 * g * g) : 1,
                         s          = 1 / (1 + std::exp(-z));
            value[t * F + i]        = g * s * u;
            want[t * 2 * F + i]     = dy->at(i, t) * u * s * (1 + g * dz / (1 + std::exp(z)));
            want[t * 2 * F + F + i] = dy->at(i, t) * g * s;
        }
    }
    run(gelu ? STEER_OP_GEGLU : STEER_OP_SWIGLU, y, { gate, up }, {}, false);
    check_in(bf, gelu ? "geglu" : "swiglu", y, value);
    run(gelu ? STEER_OP_GEGLU_BACK : STEER_OP_SWIGLU_BACK, d, { gate, up, dy }, {}, false);
    check_in(bf, gelu ? "geglu_back" : "swiglu_back", d, want);
}

// bias, scale, and a norm of heads: the bits of its heads by themselves.
void plain_case(int64_t n, int64_t heads, int64_t T, bool bf) {
    const int64_t             N = n * heads;
    const TensorPtr           x = random(N, T, 2, 1), b = random(N), w = random(n), dy = random(N, T, 1, 2);
    const TensorPtr           y = activation(bf, N, T, 1), s = activation(bf, N, T, 1);
    std::vector<double>       sum(N * T), scaled(N * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < N; i++) {
            sum[t * N + i]    = x->at(i, t) + b->at(i);
            scaled[t * N + i] = 1.5 * x->at(i, t);
        }
    }
    run(STEER_OP_BIAS, y, { x, b }, {}, false);
    check_in(bf, "bias", y, sum);
    Params p;
    p.f[0] = 1.5f;
    run(STEER_OP_SCALE, s, { x }, p, false);
    check_in(bf, "scale", s, scaled);
    const TensorPtr whole = zeros(N, T), back = zeros(N, T), one = zeros(n, T * heads), one_back = zeros(n, T * heads);
    const TensorPtr xs = zeros(n, T * heads), dys = zeros(n, T * heads);
    for (int64_t t = 0; t < T; t++) {
        std::memcpy(xs->f32(t * heads), x->f32(t), N * sizeof(float));
        std::memcpy(dys->f32(t * heads), dy->f32(t), N * sizeof(float));
    }
    Params q;
    q.f[0] = 1e-5f;
    run(STEER_OP_NORM, one, { xs, w }, q, false);
    run(STEER_OP_RMS_BACK, one_back, { xs, w, dys }, q, false);
    q.i[1] = (int32_t) n;
    run(STEER_OP_NORM, whole, { x, w }, q, false);
    run(STEER_OP_RMS_BACK, back, { x, w, dy }, q, false);
    expect("norm of heads", values(whole) == values(one));
    expect("rms_back of heads", values(back) == values(one_back));
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
    for (bool bf : { false, true }) {
        for (bool narrow : { false, true }) {
            for (bool gelu : { false, true }) {
                gated_case(gelu, 75, 5, bf, narrow);
                gated_case(gelu, 96, 1, bf, narrow);
            }
        }
        plain_case(16, 5, 3, bf);
        plain_case(10, 3, 2, bf);
        norm_case(64, 5, bf);
        norm_case(75, 33, bf);
        rope_case(64, 3, false, false, bf);
        rope_case(48, 2, true, false, bf);
        rope_case(10, 1, true, true, bf);
    }
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
