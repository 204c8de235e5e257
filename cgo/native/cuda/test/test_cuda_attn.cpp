// attn, attn_back: ragged, grouped, one token, empty tail, every padded head size, f32 and bf16.

#include "cuda_harness.h"

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
    Reference(const Shape & a, const std::vector<double> & q, const std::vector<double> & k, const std::vector<double> & v,
              const std::vector<double> & dO, double scale) {
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
                        const int64_t t = a.cu[s] + j;
                        double        x = 0;
                        for (int64_t d = 0; d < D; d++) {
                            x += q[i * D * H + hd + d] * k[t * D * HK + kv + d];
                            dp[j] += dO[i * D * H + hd + d] * v[t * D * HK + kv + d];
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
                            out[i * n_out + hd + d] += p[j] * v[t * D * HK + kv + d];
                            grad[i * n_grad + hd + d] += ds * k[t * D * HK + kv + d];
                            grad[t * n_grad + D * H + kv + d] += ds * q[i * D * H + hd + d];
                            grad[t * n_grad + D * H + D * HK + kv + d] += p[j] * dO[i * D * H + hd + d];
                        }
                    }
                }
            }
        }
    }
};

void attn_case(const Shape & a, bool narrow, double size, int64_t pad) {
    const int64_t   D = a.D, T = a.T;
    const TensorPtr q = random(D * a.H, T, size, pad), k = random(D * a.HK, T, size, pad), v = random(D * a.HK, T, 1, pad);
    const TensorPtr dO = random(D * a.H, T, 1, pad), cu = integers(a.cu);
    const ggml_type type  = narrow ? GGML_TYPE_BF16 : GGML_TYPE_F32;
    const double    scale = 0.7 / std::sqrt((double) D);
    const Reference want(a, rounded(values(q), type), rounded(values(k), type), rounded(values(v), type), rounded(values(dO), type), (float) scale);
    Params          p;
    p.f[0]                 = (float) scale;
    p.i[0]                 = (int32_t) D;
    p.i[1]                 = (int32_t) a.H;
    p.i[2]                 = (int32_t) a.HK;
    p.i[3]                 = narrow;
    const std::string name = std::string(narrow ? "bf16" : "f32") + " D" + std::to_string(D) + " H" + std::to_string(a.H) + "/" +
                             std::to_string(a.HK) + " T" + std::to_string(T) + " S" + std::to_string(a.cu.size() - 1);
    const TensorPtr out = empty(GGML_TYPE_F32, D * a.H + a.H, T, pad);
    // bf16: p is rounded, too, by half a unit in the last of eight bits
    compare({ "attn", steer_cuda_attn, out, { q, k, v, cu }, p }, name, want.out, narrow ? 1e-2 : 2e-5, narrow ? 2e-2 : 2e-5);
    compare({ "attn_back", steer_cuda_attn_back, empty(GGML_TYPE_F32, D * a.H + 2 * D * a.HK, T, pad), { dO, q, k, v, out, cu }, p }, name,
            want.grad, narrow ? 2e-2 : 5e-5, narrow ? 3e-2 : 5e-5);
}

} // namespace

void test_cuda_attn() {
    for (bool narrow : { true, false }) {
        attn_case({ 64, 3, 1, { 0, 33 }, 33 }, narrow, 1, 1);
        attn_case({ 16, 4, 2, { 0, 1, 6, 39, 39 }, 45 }, narrow, 2, 0);
        attn_case({ 64, 2, 1, { 0, 97 }, 100 }, narrow, 1, 0); // several tiles, an unused tail
        attn_case({ 40, 2, 2, { 0, 5, 71 }, 71 }, narrow, 2, 0);
        attn_case({ 10, 2, 1, { 0, 3, 70 }, 70 }, narrow, 2, 3); // a size that is no multiple of four
        attn_case({ 128, 2, 1, { 0, 17, 82 }, 82 }, narrow, 1, 4);
        attn_case({ 160, 1, 1, { 0, 35 }, 36 }, narrow, 1, 0); // two slices
        attn_case({ 64, 1, 1, { 0, 1 }, 1 }, narrow, 1, 0);
        attn_case({ 64, 3, 3, { 0 }, 4 }, narrow, 1, 1); // nothing used
    }
}

} // namespace test
