// attn, attn_back: ragged, grouped, one token, empty tail, every padded head size, f32 and bf16.

#include "cuda_harness.h"

#include <cmath>

namespace test {
namespace {

struct Shape {
    int64_t              D, H, HK;
    std::vector<int32_t> cu;
    int64_t              T;
    int64_t              window = 0; // 0: none
    double               cap    = 0; // 0: none
};

// Forward and gradient in double, one query at a time, and how far the rounding of p and ds to bf16
// (half a unit in the last of eight bits, at most 2^-8 of each term) can move each value.
struct Reference {
    std::vector<double> out, grad, out_error, grad_error;

    Reference(const Shape & a, const std::vector<double> & q, const std::vector<double> & k,
              const std::vector<double> & v, const std::vector<double> & dO, double scale) :
        a(a), q(q), k(k), v(v), dO(dO), scale(scale), n_out(a.D * a.H + a.H), n_grad(a.D * a.H + 2 * a.D * a.HK) {
        out.assign(n_out * a.T, 0);
        out_error = out;
        grad.assign(n_grad * a.T, 0);
        grad_error = grad;
        for (size_t s = 0; s + 1 < a.cu.size(); s++) {
            for (int64_t i = a.cu[s]; i < a.cu[s + 1]; i++) {
                for (int64_t h = 0; h < a.H; h++) {
                    query(a.cu[s], i, h);
                }
            }
        }
    }

  private:
    const Shape &               a;
    const std::vector<double> & q, & k, & v, & dO;
    double                      scale;
    int64_t                     n_out, n_grad;

    void add(int64_t at, double p, double p_error, double x) {
        grad[at] += p * x;
        grad_error[at] += p_error * std::fabs(x);
    }

    void query(int64_t first, int64_t i, int64_t h) {
        const int64_t       D = a.D, H = a.H, HK = a.HK, kv = h / (H / HK) * D, hd = h * D, n = i - first + 1;
        const int64_t       lo   = a.window && n > a.window ? n - a.window : 0;
        const double        half = std::ldexp(1, -8);
        std::vector<double> p(n), dp(n), slope(n, 1);
        double              sum = 0, delta = 0, delta_error = 0;
        for (int64_t j = lo; j < n; j++) {
            const int64_t t = first + j;
            double        x = 0;
            for (int64_t d = 0; d < D; d++) {
                x += q[i * D * H + hd + d] * k[t * D * HK + kv + d];
                dp[j] += dO[i * D * H + hd + d] * v[t * D * HK + kv + d];
            }
            x *= scale;
            if (a.cap > 0) {
                slope[j] = 1 - std::pow(std::tanh(x / a.cap), 2);
                x        = a.cap * std::tanh(x / a.cap);
            }
            p[j] = std::exp(x);
            sum += p[j];
        }
        out[i * n_out + D * H + h] = std::log(sum);
        for (int64_t j = 0; j < n; j++) {
            p[j] /= sum;
            delta += p[j] * dp[j];
            for (int64_t d = 0; d < D; d++) {
                const double term = p[j] * v[(first + j) * D * HK + kv + d];
                out[i * n_out + hd + d] += term;
                out_error[i * n_out + hd + d] += half * std::fabs(term);
            }
        }
        for (int64_t d = 0; d < D; d++) {
            delta_error += std::fabs(dO[i * D * H + hd + d]) * out_error[i * n_out + hd + d];
        }
        for (int64_t j = 0; j < n; j++) {
            const int64_t t = first + j, dk = t * n_grad + D * H + kv, dv = dk + D * HK;
            const double  to_s = slope[j] * scale, ds = p[j] * (dp[j] - delta) * to_s;
            const double  ds_error = half * std::fabs(ds) + p[j] * delta_error * to_s;
            for (int64_t d = 0; d < D; d++) {
                add(i * n_grad + hd + d, ds, ds_error, k[t * D * HK + kv + d]);
                add(dk + d, ds, ds_error, q[i * D * H + hd + d]);
                add(dv + d, p[j], half * p[j], dO[i * D * H + hd + d]);
            }
        }
    }
};

// |got - want| <= error + tol * rms(want), element by element.
void check_within(const std::string & what, const std::vector<double> & got, const std::vector<double> & want,
                  const std::vector<double> & error, double tol) {
    double sum = 0, worst = 0;
    for (double x : want) {
        sum += x * x;
    }
    const double rest = tol * std::sqrt(sum / (double) want.size()) + 1e-30;
    for (size_t i = 0; i < want.size(); i++) {
        const double ratio = std::fabs(got[i] - want[i]) / (error[i] + rest);
        worst              = ratio > worst || std::isnan(ratio) ? ratio : worst;
    }
    expect(what + ": " + std::to_string(worst) + " of the possible error", worst <= 1);
}

void attn_case(const Shape & a, bool narrow, double size, int64_t pad) {
    const int64_t   D = a.D, T = a.T;
    const TensorPtr q = random(D * a.H, T, size, pad), k = random(D * a.HK, T, size, pad),
                    v = random(D * a.HK, T, 1, pad);
    const TensorPtr dO = random(D * a.H, T, 1, pad), cu = integers(a.cu);
    const ggml_type type  = narrow ? GGML_TYPE_BF16 : GGML_TYPE_F32;
    const double    scale = 0.7 / std::sqrt((double) D);
    const Reference want(a, rounded(values(q), type), rounded(values(k), type), rounded(values(v), type),
                         rounded(values(dO), type), (float) scale);
    Params          p;
    p.f[0]                 = (float) scale;
    p.i[0]                 = (int32_t) D;
    p.i[1]                 = (int32_t) a.H;
    p.i[2]                 = (int32_t) a.HK;
    p.i[3]                 = narrow;
    p.i[4]                 = (int32_t) a.window;
    p.f[1]                 = (float) a.cap;
    const std::string name = std::string(narrow ? "bf16" : "f32") + " window " + std::to_string(a.window) + " cap " +
                             std::to_string(a.cap) + " D" + std::to_string(D) + " H" + std::to_string(a.H) + "/" +
                             std::to_string(a.HK) + " T" + std::to_string(T) + " S" + std::to_string(a.cu.size() - 1);
    const TensorPtr out  = empty(GGML_TYPE_F32, D * a.H + a.H, T, pad),
                    grad = empty(GGML_TYPE_F32, D * a.H + 2 * D * a.HK, T, pad);
    // bf16 against the CPU's f32: q, k, v and dO are rounded, too; the largest values are ten times the rms
    compare({ "attn", steer_cuda_attn, out, { q, k, v, cu }, p }, name, want.out, narrow ? 2e-2 : 2e-5,
            narrow ? 3e-2 : 2e-5);
    compare({ "attn_back", steer_cuda_attn_back, grad, { dO, q, k, v, out, cu }, p }, name, want.grad,
            narrow ? 6e-2 : 5e-5, narrow ? 9e-2 : 5e-5);
    if (narrow) {
        check_within("attn " + name, values(out), want.out, want.out_error, 2e-5);
        check_within("attn_back " + name, values(grad), want.grad, want.grad_error, 5e-5);
    }
    // Operands in bf16 give the bits of the same numbers in f32.
    const TensorPtr q16 = packed(q, pad), k16 = packed(k, pad), v16 = packed(v, pad),
                    same = empty(GGML_TYPE_F32, D * a.H + a.H, T, pad),
                    same_grad = empty(GGML_TYPE_F32, D * a.H + 2 * D * a.HK, T, pad);
    const TensorPtr wq = widened(q16), wk = widened(k16), wv = widened(v16);
    run_cuda("attn", steer_cuda_attn, out, { q16, k16, v16, cu }, p, false);
    run_cuda("attn", steer_cuda_attn, same, { wq, wk, wv, cu }, p, false);
    expect("attn of bf16 " + name, values(out) == values(same));
    run_cuda("attn_back", steer_cuda_attn_back, grad, { dO, q16, k16, v16, out, cu }, p, false);
    run_cuda("attn_back", steer_cuda_attn_back, same_grad, { dO, wq, wk, wv, out, cu }, p, false);
    expect("attn_back of bf16 " + name, values(grad) == values(same_grad));
}

// Segments with parents, and `unused` tokens behind them.
void tree_case(int64_t D, int64_t H, int64_t HK, const std::vector<int32_t> & lengths,
               const std::vector<int32_t> & parents, int64_t unused, bool narrow, int64_t pad, int64_t window = 0) {
    std::vector<int32_t> cu = { 0 };
    for (int32_t n : lengths) {
        cu.push_back(cu.back() + n);
    }
    const int64_t   T = cu.back() + unused, n_out = D * H + H;
    const TensorPtr q = random(D * H, T, 1, pad), k = random(D * HK, T, 1, pad), v = random(D * HK, T, 1, pad);
    const ggml_type type = narrow ? GGML_TYPE_BF16 : GGML_TYPE_F32;
    const double    scale = 0.7 / std::sqrt((double) D);
    const Unfolded  whole(lengths, parents);
    const int64_t   W = (int64_t) whole.from.size();
    const Shape     a = { D, H, HK, whole.cu, W, window };
    // the reference keeps references
    const std::vector<double> wq = rounded(values(whole.copy(q)), type), wk = rounded(values(whole.copy(k)), type),
                              wv = rounded(values(whole.copy(v)), type), none(D * H * W, 0);
    const Reference           want(a, wq, wk, wv, none, (float) scale);
    Params                    p;
    p.f[0]                 = (float) scale;
    p.i[0]                 = (int32_t) D;
    p.i[1]                 = (int32_t) H;
    p.i[2]                 = (int32_t) HK;
    p.i[3]                 = narrow;
    p.i[4]                 = (int32_t) window;
    const std::string name = std::string(narrow ? "bf16" : "f32") + " tree window " + std::to_string(window) + " D" +
                             std::to_string(D) + " H" + std::to_string(H) + "/" + std::to_string(HK) + " T" +
                             std::to_string(T) + " S" + std::to_string(lengths.size());
    const TensorPtr out = empty(GGML_TYPE_F32, n_out, T, pad);
    compare({ "attn", steer_cuda_attn, out, { q, k, v, integers(cu), integers(parents) }, p }, name,
            whole.fold(want.out, n_out, T), narrow ? 2e-2 : 2e-5, narrow ? 3e-2 : 2e-5);
    if (narrow) {
        check_within("attn " + name, values(out), whole.fold(want.out, n_out, T), whole.fold(want.out_error, n_out, T),
                     2e-5);
    }
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
        attn_case({ 16, 4, 2, { 0, 1, 140 }, 141, 20 }, narrow, 2, 0); // windows, shorter than a tile and longer
        attn_case({ 64, 2, 1, { 0, 200 }, 200, 100 }, narrow, 1, 0);
        attn_case({ 40, 2, 2, { 0, 5, 71 }, 71, 1 }, narrow, 2, 0);
        attn_case({ 64, 4, 2, { 0, 90 }, 91, 0, 1.5 }, narrow, 2, 1); // capped scores
        attn_case({ 16, 2, 1, { 0, 130 }, 130, 33, 2.5 }, narrow, 2, 0);
        tree_case(16, 4, 2, { 100, 70, 33, 64, 5 }, { -1, 0, 1, -1, 3 }, 2, narrow, 0, 40);
        tree_case(64, 2, 1, { 150, 3, 66 }, { -1, 0, 1 }, 0, narrow, 0, 7);
        tree_case(64, 3, 1, { 97, 1, 2 }, { -1, 0, 0 }, 0, narrow, 1);               // two answers to one question
        tree_case(16, 4, 2, { 1, 70, 33, 64, 5 }, { -1, 0, 1, -1, 3 }, 2, narrow, 0); // several tiles and levels
        tree_case(10, 2, 1, { 64, 3, 66 }, { -1, 0, 1 }, 0, narrow, 3);
        tree_case(160, 1, 1, { 30, 20 }, { -1, 0 }, 0, narrow, 0); // two slices
    }
}

} // namespace test
