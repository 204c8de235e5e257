// pack, norm, rope_table, rope, rms_back, swiglu, swiglu_back.

#include "cuda_harness.h"

#include <cmath>

namespace test {
namespace {

const ggml_type packed_types[] = { GGML_TYPE_F32, GGML_TYPE_BF16 };

// Half a unit in the last place of bf16, of values a few times the rms.
double store_error(ggml_type type) { return type == GGML_TYPE_BF16 ? 2e-2 : 2e-6; }

std::string shape(ggml_type type, int64_t n, int64_t T) {
    return std::string(ggml_type_name(type)) + " " + std::to_string(n) + "x" + std::to_string(T);
}

void pack_case(int64_t n, int64_t T, int64_t pad) {
    const TensorPtr x = random(n, T, 3, pad), y = empty(GGML_TYPE_BF16, n, T, pad);
    x->f32(0)[0]      = 1.00390625f; // halfway between two bf16: to even
    compare({ "pack", steer_cuda_pack, y, { x }, {} }, shape(GGML_TYPE_BF16, n, T), rounded(values(x), GGML_TYPE_BF16),
            0, 0);
}

void norm_case(ggml_type type, int64_t n, int64_t T, int64_t pad) {
    const double        eps = 1e-5;
    const TensorPtr     x = random(n, T, 2, pad), w = random(n), y = empty(type, n, T, pad);
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
    compare({ "norm", steer_cuda_norm, y, { x, w }, p }, shape(type, n, T), want, store_error(type), store_error(type));
}

void rms_back_case(int64_t n, int64_t T, bool accumulate, int64_t pad) {
    const double        eps = 1e-5;
    const TensorPtr     x = random(n, T, 2, pad), w = random(n), dy = random(n, T, 1, pad), dx = random(n, T, 1, pad);
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
    compare({ "rms_back", steer_cuda_rms_back, dx, { x, w, dy }, p, accumulate }, shape(GGML_TYPE_F32, n, T), want,
            1e-5, 1e-5);
}

void gated_case(bool gelu, ggml_type type, int64_t F, int64_t T, int64_t pad) {
    const TensorPtr gate = random(F, T, 8, pad), up = random(F, T, 2, pad), dy = random(F, T, 1, pad);
    const TensorPtr y = empty(type, F, T, pad), d = empty(type, 2 * F, T, pad);
    gate->f32(0)[0] = 200;
    gate->f32(0)[1] = -200;
    std::vector<double> want(F * T), back(2 * F * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < F; i++) {
            const double g = gate->at(i, t), c = std::sqrt(8 / M_PI); // gelu(g) = g s(2z)
            const double z = gelu ? c * (g + 0.044715 * g * g * g) : g, dz = gelu ? c * (1 + 0.134145 * g * g) : 1,
                         s          = 1 / (1 + std::exp(-z));
            want[t * F + i]         = g * s * up->at(i, t);
            back[t * 2 * F + i]     = dy->at(i, t) * up->at(i, t) * s * (1 + g * dz / (1 + std::exp(z)));
            back[t * 2 * F + F + i] = dy->at(i, t) * g * s;
        }
    }
    const std::string name        = gelu ? "geglu" : "swiglu", name_back = name + "_back";
    const auto        launch      = gelu ? steer_cuda_geglu : steer_cuda_swiglu;
    const auto        launch_back = gelu ? steer_cuda_geglu_back : steer_cuda_swiglu_back;
    const double tol = type == GGML_TYPE_BF16 ? 0.5 : 1e-4; // the value at gate = 200 is 50 times the rms
    compare({ name.c_str(), launch, y, { gate, up }, {} }, shape(type, F, T), want, tol, tol);
    compare({ name_back.c_str(), launch_back, d, { gate, up, dy }, {} }, shape(type, F, T), back, tol, tol);
    // bf16 is exactly the rounded f32 result
    const TensorPtr y32 = empty(GGML_TYPE_F32, F, T, pad), d32 = empty(GGML_TYPE_F32, 2 * F, T, pad);
    run_cuda(name.c_str(), launch, y32, { gate, up }, {}, false);
    run_cuda(name_back.c_str(), launch_back, d32, { gate, up, dy }, {}, false);
    check(name + " of the other type", values(y), rounded(values(y32), type), 0);
    check(name + "_back of the other type", values(d), rounded(values(d32), type), 0);
    // operands in bf16 give the bits of the same numbers in f32
    const TensorPtr g16 = packed(gate, pad), u16 = packed(up, pad), y_wide = empty(type, F, T, pad),
                    d_wide = empty(type, 2 * F, T, pad);
    run_cuda(name.c_str(), launch, y, { g16, u16 }, {}, false);
    run_cuda(name.c_str(), launch, y_wide, { widened(g16), widened(u16) }, {}, false);
    expect(name + " of bf16", values(y) == values(y_wide));
    run_cuda(name_back.c_str(), launch_back, d, { g16, u16, dy }, {}, false);
    run_cuda(name_back.c_str(), launch_back, d_wide, { widened(g16), widened(u16), dy }, {}, false);
    expect(name + "_back of bf16", values(d) == values(d_wide));
}

// bias, scale, and norms of heads by themselves.
void plain_case(ggml_type type, int64_t n, int64_t heads, int64_t T, int64_t pad) {
    const int64_t       N = n * heads;
    const TensorPtr     x = random(N, T, 2, pad), b = random(N), w = random(n), dy = random(N, T, 1, pad);
    std::vector<double> sum(N * T), scaled(N * T), normed(N * T), back(N * T);
    const double        eps = 1e-5;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t h = 0; h < heads; h++) {
            double ss = 0, sd = 0;
            for (int64_t i = h * n; i < h * n + n; i++) {
                sum[t * N + i]    = x->at(i, t) + b->at(i);
                scaled[t * N + i] = 1.5 * x->at(i, t);
                ss += x->at(i, t) * x->at(i, t);
                sd += w->at(i - h * n) * dy->at(i, t) * x->at(i, t);
            }
            const double r = 1 / std::sqrt(ss / (double) n + eps);
            for (int64_t i = h * n; i < h * n + n; i++) {
                normed[t * N + i] = w->at(i - h * n) * x->at(i, t) * r;
                back[t * N + i]   = r * w->at(i - h * n) * dy->at(i, t) - x->at(i, t) * r * r * r / (double) n * sd;
            }
        }
    }
    const double tol = store_error(type);
    Params       factor, norm;
    factor.f[0] = 1.5f;
    norm.f[0]   = (float) eps;
    norm.i[1]   = (int32_t) n;
    compare({ "bias", steer_cuda_bias, empty(type, N, T, pad), { x, b }, {} }, shape(type, N, T), sum, tol, tol);
    compare({ "scale", steer_cuda_scale, empty(type, N, T, pad), { x }, factor }, shape(type, N, T), scaled, tol, tol);
    compare({ "norm", steer_cuda_norm, empty(type, N, T, pad), { x, w }, norm }, shape(type, N, T), normed, tol, tol);
    compare({ "rms_back", steer_cuda_rms_back, empty(GGML_TYPE_F32, N, T, pad), { x, w, dy }, norm },
            shape(GGML_TYPE_F32, N, T), back, 1e-5, 1e-5);
}

void rope_case(ggml_type type, int64_t D, int64_t heads, int64_t T, int mode, bool with_freqs, int64_t pad,
               int64_t whole = 0) {
    std::vector<int32_t> pos;
    for (int64_t t = 0; t < T; t++) {
        pos.push_back(t == T - 1 ? 8191 : (int32_t) (t % 5));
    }
    const double    base = 10000, scale = 0.5, factor = 1.25;
    const TensorPtr positions = integers(pos), freqs = with_freqs ? random(D / 2, 1, 0.1) : nullptr,
                    table = empty(GGML_TYPE_F32, D, T, pad);
    std::vector<double> want(D * T);
    for (int64_t i = 0; i < D / 2; i++) {
        if (freqs) {
            freqs->f32()[i] = 1 + std::fabs(freqs->f32()[i]);
        }
        for (int64_t t = 0; t < T; t++) {
            const double angle =
                pos[t] * scale * std::pow(base, -2.0 * (double) i / (double) D) / (freqs ? freqs->at(i) : 1);
            want[t * D + 2 * i]     = std::cos(angle) * factor;
            want[t * D + 2 * i + 1] = std::sin(angle) * factor;
        }
    }
    Params p;
    p.f[0] = (float) base;
    p.f[1] = (float) scale;
    p.f[2] = (float) factor;
    compare({ "rope_table", steer_cuda_rope_table, table, { positions, freqs }, p }, shape(GGML_TYPE_F32, D, T), want,
            1e-6, 1e-6);

    // D features of each head turn, of W
    const int64_t   W = whole ? whole : D;
    const TensorPtr x = random(W * heads, T, 1, pad);
    for (bool back : { false, true }) {
        std::vector<double> y = values(x);
        for (int64_t t = 0; t < T; t++) {
            for (int64_t h = 0; h < heads; h++) {
                for (int64_t i = 0; i < D / 2; i++) {
                    const int64_t a = h * W + (mode ? i : 2 * i), b = h * W + (mode ? i + D / 2 : 2 * i + 1);
                    const double  cosine = table->at(2 * i, t), sine = table->at(2 * i + 1, t) * (back ? -1 : 1);
                    y[t * W * heads + a] = x->at(a, t) * cosine - x->at(b, t) * sine;
                    y[t * W * heads + b] = x->at(a, t) * sine + x->at(b, t) * cosine;
                }
            }
        }
        Params q;
        q.i[0] = (int32_t) W;
        q.i[1] = mode;
        q.i[2] = back;
        compare({ "rope", steer_cuda_rope, empty(type, W * heads, T, pad), { x, table }, q }, shape(type, W * heads, T),
                y, store_error(type), store_error(type));
    }
}

void add_case(int64_t n) {
    const TensorPtr     a = random(n), b = random(n), y = empty(GGML_TYPE_F32, n, 1);
    std::vector<double> want(n);
    for (int64_t i = 0; i < n; i++) {
        want[i] = a->f32()[i] + b->f32()[i];
    }
    steer_cuda_add(a->f32(), b->f32(), y->f32(), n, device());
    check("add " + std::to_string(n), values(y), want, 0);
    steer_cuda_add(a->f32(), b->f32(), a->f32(), n, device());
    check("add in place " + std::to_string(n), values(a), want, 0);
}

} // namespace

void test_cuda_rows() {
    for (int64_t n : { 1, 4, 7, 1024, 2050 }) {
        add_case(n);
    }
    pack_case(97, 5, 2);
    pack_case(640, 3, 0);
    pack_case(1, 1, 0);
    for (bool accumulate : { false, true }) {
        rms_back_case(75, 3, accumulate, 3);
        rms_back_case(1100, 2, accumulate, 0);
    }
    for (ggml_type type : packed_types) {
        norm_case(type, 75, 3, 1);
        norm_case(type, 1100, 2, 4);
        norm_case(type, 64, 1, 0);
        for (bool gelu : { false, true }) {
            gated_case(gelu, type, 75, 3, 1);
            gated_case(gelu, type, 1028, 2, 0);
        }
        plain_case(type, 16, 4, 3, 0);
        plain_case(type, 7, 3, 2, 1);
        rope_case(type, 64, 3, 4, 0, false, 0);
        rope_case(type, 10, 5, 3, 2, true, 3);
        rope_case(type, 128, 4, 1, 2, true, 0);
        rope_case(type, 24, 3, 4, 2, false, 0, 32);
    }
}

} // namespace test
