// lora_down, lora_up_back, outer_acc, lora_down_back, in f32 and bf16, with and without
// dropout. What linear and linear_back do with pairs is tested in test_linear.cpp.

#include "harness.h"

#include <cmath>

namespace test {
namespace {

// Multiplier of feature k at token t: 1 without seeds.
double mask(const TensorPtr & seeds, double p, int site, int64_t t, int64_t k) {
    if (!seeds) {
        return 1;
    }
    const steer_dropout_key key =
        steer_dropout_key_of((uint32_t) seeds->i32(t)[0], (uint32_t) seeds->i32(t)[1], site);
    return steer_dropout_bits(key, (uint32_t) k) >= steer_dropout_threshold((float) p) ? 1 / (1 - p) : 0;
}

void lora_case(int64_t K, int64_t N, int64_t r, int64_t T, bool dropout, bool bf) {
    const double    p    = dropout ? 0.25 : 0;
    const int       site = 5;
    const TensorPtr A = random(K, r), B = random(r, N), x = activation(bf, random(K, T, 1, bf ? 0 : 3)),
                    dy = activation(bf, random(N, T, 1, bf ? 0 : 1));
    // The bf16 product rounds its matrix too.
    const auto seen = [&](const TensorPtr & m, int64_t depth) {
        std::vector<double> v = values(m);
        for (double & e : v) {
            e = bf && has_bf16() && !dropout && depth % 2 == 0 ? bf16(e) : e;
        }
        return v;
    };
    const std::vector<double> xv = values(x), dyv = values(dy), Av = seen(A, K), Bs = [&] {
        std::vector<double> v = values(B);
        for (double & e : v) {
            e = bf && has_bf16() && N % 2 == 0 ? bf16(e) : e;
        }
        return v;
    }();
    const TensorPtr s = dropout ? seeds(T) : nullptr;
    Params          q;
    q.f[0]                 = 0.5f;
    q.f[1]                 = (float) p;
    q.i[0]                 = site;
    const std::string name = " " + std::to_string(K) + "x" + std::to_string(N) + " r" + std::to_string(r) + " T" +
                             std::to_string(T) + (dropout ? " dropout" : "") + (bf ? " bf16" : "");

    std::vector<double> want(r * T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < r; j++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * r + j] += 0.5 * Av[j * K + k] * xv[t * K + k] * mask(s, p, site, t, k);
            }
        }
    }
    const TensorPtr h = activation(bf, r, T, 1);
    run(STEER_OP_LORA_DOWN, h, { A, x, s }, q, false);
    (bf ? check_bf16 : check) ("lora_down" + name, values(h), want, 2e-5);

    want.assign(r * T, 0);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t j = 0; j < r; j++) {
                want[t * r + j] += 0.5 * Bs[n * r + j] * dyv[t * N + n];
            }
        }
    }
    const TensorPtr dh = activation(bf, r, T, 1);
    run(STEER_OP_LORA_UP_BACK, dh, { B, dy }, q, false);
    (bf ? check_bf16 : check) ("lora_up_back" + name, values(dh), want, 2e-5);
    const std::vector<double> hv = values(h), dhv = values(dh); // what the rest reads

    const TensorPtr dA = random(K, r), dB = random(r, N);
    want = values(dA);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < r; j++) {
            for (int64_t k = 0; k < K; k++) {
                want[j * K + k] += xv[t * K + k] * mask(s, p, site, t, k) * dhv[t * r + j];
            }
        }
    }
    run(STEER_OP_OUTER_ACC, dA, { x, dh, s }, q, true);
    check("outer_acc dA" + name, values(dA), want, 3e-5);

    want = values(dB);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t j = 0; j < r; j++) {
                want[n * r + j] += hv[t * r + j] * dyv[t * N + n];
            }
        }
    }
    run(STEER_OP_OUTER_ACC, dB, { h, dy }, {}, true);
    check("outer_acc dB" + name, values(dB), want, 3e-5);

    const TensorPtr dx = random(K, T, 1, 2);
    want               = values(dx);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < r; j++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * K + k] += A->at(k, j) * dhv[t * r + j] * mask(s, p, site, t, k);
            }
        }
    }
    run(STEER_OP_LORA_DOWN_BACK, dx, { A, dh, s }, q, true);
    check("lora_down_back" + name, values(dx), want, 2e-5);
}

void dropout_statistics() {
    const int64_t T = 64, K = 4096;
    const auto    s    = seeds(T);
    double        kept = 0, pairs = 0;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t k = 0; k < K; k++) {
            const bool a = mask(s, 0.1, 3, t, k) > 0, b = mask(s, 0.1, 4, t, k) > 0;
            kept += a;
            pairs += a && b;
        }
    }
    const double n = (double) (T * K); // five standard deviations
    expect("dropout keeps 90 %", std::fabs(kept / n - 0.9) < 5 * std::sqrt(0.09 / n));
    expect("dropout of two sites is independent", std::fabs(pairs / n - 0.81) < 5 * std::sqrt(0.81 * 0.19 / n));
}

} // namespace

void test_lora() {
    dropout_statistics();
    for (int i = 0; i < 4; i++) {
        const bool dropout = i & 1, bf = i & 2;
        lora_case(64, 96, 16, 33, dropout, bf);
        lora_case(75, 131, 3, 5, dropout, bf);
        lora_case(96, 67, 40, 97, dropout, bf);
        lora_case(64, 33, 32, 1, dropout, bf);
        lora_case(70, 40, 17, 300, dropout, bf);
    }
}

} // namespace test
