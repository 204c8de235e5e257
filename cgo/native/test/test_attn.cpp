// attn, attn_back.

#include "harness.h"

#include <cmath>

namespace test {
namespace {

struct Shape {
    int64_t              D, H, HK;
    std::vector<int32_t> cu;
    int64_t              T;
};

// Forward and gradient in double, one query at a time.
struct Reference {
    std::vector<double> out, grad;
    Reference(const Shape & a, TensorPtr q, TensorPtr k, TensorPtr v, TensorPtr dO, double scale) {
        const int64_t D = a.D, H = a.H, HK = a.HK, g = H / HK, n_out = D * H + H, n_grad = D * H + 2 * D * HK;
        out.assign(n_out * a.T, 0);
        grad.assign(n_grad * a.T, 0);
        for (size_t s = 0; s + 1 < a.cu.size(); s++) {
            for (int64_t i = a.cu[s]; i < a.cu[s + 1]; i++) {
                for (int64_t h = 0; h < H; h++) {
                    const int64_t       kv = h / g * D, hd = h * D, n = i - a.cu[s] + 1;
                    std::vector<double> p(n), dp(n);
                    double              sum = 0, delta = 0;
                    for (int64_t j = 0; j < n; j++) {
                        double x = 0;
                        for (int64_t d = 0; d < D; d++) {
                            x += q->at(hd + d, i) * k->at(kv + d, a.cu[s] + j);
                            dp[j] += dO->at(hd + d, i) * v->at(kv + d, a.cu[s] + j);
                        }
                        p[j] = std::exp(scale * x);
                        sum += p[j];
                    }
                    for (int64_t j = 0; j < n; j++) {
                        p[j] /= sum;
                        delta += p[j] * dp[j];
                    }
                    out[i * n_out + D * H + h] = std::log(sum);
                    for (int64_t j = 0; j < n; j++) {
                        const int64_t t  = a.cu[s] + j;
                        const double  ds = p[j] * (dp[j] - delta) * scale;
                        for (int64_t d = 0; d < D; d++) {
                            out[i * n_out + hd + d] += p[j] * v->at(kv + d, t);
                            grad[i * n_grad + hd + d] += ds * k->at(kv + d, t);
                            grad[t * n_grad + D * H + kv + d] += ds * q->at(hd + d, i);
                            grad[t * n_grad + D * H + D * HK + kv + d] += p[j] * dO->at(hd + d, i);
                        }
                    }
                }
            }
        }
    }
};

void attn_case(const Shape & a, double size, bool bf) {
    const int64_t   D = a.D, T = a.T;
    const TensorPtr q = random(D * a.H, T, size, 1), k = random(D * a.HK, T, size, 2), v = random(D * a.HK, T, 1, 3);
    const TensorPtr dO = random(D * a.H, T, 1, 2), cu = integers(a.cu);
    const Reference want(a, q, k, v, dO, 0.25);
    Params          p;
    p.f[0]                 = 0.25f;
    p.i[0]                 = (int32_t) D;
    p.i[1]                 = (int32_t) a.H;
    p.i[2]                 = (int32_t) a.HK;
    p.i[3]                 = bf;
    const bool        round = bf && has_bf16(); // scores, probabilities and operands rounded to 8 bits
    const std::string name = " D" + std::to_string(D) + " H" + std::to_string(a.H) + "/" + std::to_string(a.HK) + " T" +
                             std::to_string(T) + " S" + std::to_string(a.cu.size() - 1) + (bf ? " bf16" : "");
    const TensorPtr out = zeros(D * a.H + a.H, T, 1);
    run(STEER_OP_ATTN, out, { q, k, v, cu }, p, false);
    if (round) {
        check_rms("attn" + name, values(out), want.out, 1e-2);
    } else {
        check("attn" + name, values(out), want.out, 2e-5);
    }
    const TensorPtr grad = zeros(D * a.H + 2 * D * a.HK, T, 2);
    run(STEER_OP_ATTN_BACK, grad, { dO, q, k, v, out, cu }, p, false);
    if (round) {
        check_rms("attn_back" + name, values(grad), want.grad, 2e-2);
    } else {
        check("attn_back" + name, values(grad), want.grad, 5e-5);
    }
}

} // namespace

void test_attn() {
    for (bool bf : { false, true }) {
        attn_case({ 64, 3, 1, { 0, 33 }, 33 }, 1, bf);
        attn_case({ 16, 4, 2, { 0, 1, 6, 39, 39 }, 45 }, 2, bf);
        attn_case({ 64, 9, 3, { 0, 97 }, 100 }, 1, bf);
        attn_case({ 40, 2, 2, { 0, 5, 102 }, 102 }, 2, bf);
        attn_case({ 128, 5, 1, { 0, 17 }, 17 }, 1, bf);
        attn_case({ 32, 3, 1, { 0, 300 }, 301 }, 3, bf); // several key blocks, fewer heads than threads
        attn_case({ 8, 2, 1, { 0, 129, 257, 260 }, 260 }, 3, bf);
        attn_case({ 64, 3, 3, { 0 }, 4 }, 1, bf); // nothing used
    }
}

} // namespace test
