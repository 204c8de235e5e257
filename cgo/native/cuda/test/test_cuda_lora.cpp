// lora_down, lora_up_back, outer_acc, lora_down_back, with and without dropout.

#include "cuda_harness.h"

#include <cmath>

namespace test {
namespace {

// Multiplier of feature k at token t: 1 without seeds.
double mask(const TensorPtr & seeds, double p, int site, int64_t t, int64_t k) {
    if (!seeds) {
        return 1;
    }
    const steer_dropout_key key = steer_dropout_key_of((uint32_t) seeds->i32(t)[0], (uint32_t) seeds->i32(t)[1], site);
    return steer_dropout_bits(key, (uint32_t) k) >= steer_dropout_threshold((float) p) ? 1 / (1 - p) : 0;
}

// Rows of x masked, rounded as the kernel's copy is.
std::vector<double> dropped(const TensorPtr & x, ggml_type type, const TensorPtr & s, double p, int site) {
    std::vector<double> v = values(x);
    for (int64_t t = 0; t < x->ne1(); t++) {
        for (int64_t k = 0; k < x->ne0(); k++) {
            v[t * x->ne0() + k] *= mask(s, p, site, t, k);
        }
    }
    return rounded(v, type);
}

// pad: between rows of x, without dropout
void lora_case(ggml_type type, int64_t K, int64_t N, int64_t r, int64_t T, bool dropout, int64_t pad = 3) {
    const double    p    = dropout ? 0.25 : 0;
    const int       site = 5;
    const bool      narrow = type == GGML_TYPE_BF16;
    const TensorPtr A = random(K, r), B = random(r, N), x = random_packed(type, K, T, 1, dropout ? 0 : pad),
                    dy = random_packed(type, N, T, 1, 1);
    const TensorPtr s = dropout ? seeds(T) : nullptr, h = random_packed(type, r, T, 1, 0);
    Params          q;
    q.f[0]                 = 0.5f;
    q.f[1]                 = (float) p;
    q.i[0]                 = site;
    const std::string name = std::string(ggml_type_name(type)) + " " + std::to_string(K) + "x" + std::to_string(N) +
                             " r" + std::to_string(r) + " T" + std::to_string(T) + (dropout ? " dropout" : "");
    const std::vector<double> xv = dropped(x, type, s, p, site), a = rounded(values(A), type),
                              b = rounded(values(B), type), dyv = values(dy), hv = values(h);
    // bf16 results carry their last rounding
    const double store = narrow ? 2e-2 : 2e-5, exact = 2e-5, twin = narrow ? 3e-2 : 3e-5;

    std::vector<double> want(r * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < r; j++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * r + j] += 0.5 * a[j * K + k] * xv[t * K + k];
            }
        }
    }
    compare({ "lora_down", steer_cuda_lora_down, empty(type, r, T, 1), { A, x, s }, q }, name, want, store, twin);

    want.assign(r * T, 0);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t j = 0; j < r; j++) {
                want[t * r + j] += 0.5 * b[n * r + j] * dyv[t * N + n];
            }
        }
    }
    compare({ "lora_up_back", steer_cuda_lora_up_back, empty(type, r, T, 1), { B, dy }, q }, name, want, store, twin);

    const TensorPtr dA = random(K, r), dB = random(r, N);
    want = values(dA);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < r; j++) {
            for (int64_t k = 0; k < K; k++) {
                want[j * K + k] += xv[t * K + k] * hv[t * r + j];
            }
        }
    }
    compare({ "outer_acc", steer_cuda_outer_acc, dA, { x, h, s }, q, true }, "dA " + name, want, exact, twin);

    want = values(dB);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t j = 0; j < r; j++) {
                want[n * r + j] += hv[t * r + j] * dyv[t * N + n];
            }
        }
    }
    compare({ "outer_acc", steer_cuda_outer_acc, dB, { h, dy }, {}, true }, "dB " + name, want, exact, twin);

    const TensorPtr dx = random(K, T, 1, dropout ? 0 : 2);
    want               = values(dx);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < r; j++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * K + k] += a[j * K + k] * hv[t * r + j] * mask(s, p, site, t, k);
            }
        }
    }
    compare({ "lora_down_back", steer_cuda_lora_down_back, dx, { A, h, s }, q, true }, name, want, exact, twin);
}

// Operands of two types meet in bf16.
void mixed_case() {
    const TensorPtr     u = random(33, 7), v = random_packed(GGML_TYPE_BF16, 8, 7, 1, 0), G = random(33, 8);
    std::vector<double> want = values(G);
    const auto          uv = rounded(values(u), GGML_TYPE_BF16), vv = values(v);
    for (int64_t t = 0; t < 7; t++) {
        for (int64_t j = 0; j < 8; j++) {
            for (int64_t i = 0; i < 33; i++) {
                want[j * 33 + i] += uv[t * 33 + i] * vv[t * 8 + j];
            }
        }
    }
    run_cuda("outer_acc", steer_cuda_outer_acc, G, { u, v }, {}, true);
    check("outer_acc of f32 and bf16", values(G), want, 2e-5);
}

} // namespace

void test_cuda_lora() {
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_BF16 }) {
        for (bool dropout : { false, true }) {
            lora_case(type, 64, 96, 16, 33, dropout);
            lora_case(type, 75, 131, 3, 5, dropout);
            lora_case(type, 96, 67, 40, 9, dropout);
            lora_case(type, 1028, 33, 32, 1, dropout);
            lora_case(type, 264, 40, 5, 35, dropout, 8); // rows that can be read in eights
            lora_case(type, 520, 24, 16, 16, dropout, 0);
            lora_case(type, 56, 24, 27, 17, dropout, 0);
            lora_case(type, 72, 24, 64, 3, dropout, 16);
            lora_case(type, 72, 24, 70, 3, dropout, 0); // too wide for the narrow product
        }
    }
    mixed_case();
}

} // namespace test
