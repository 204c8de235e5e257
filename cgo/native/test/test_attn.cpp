// attn, attn_back.

#include "harness.h"

#include <algorithm>
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

// Forward and gradient in double, one query at a time.
struct Reference {
    std::vector<double> out, grad;
    Reference(const Shape & a, const TensorPtr & q, const TensorPtr & k, const TensorPtr & v, const TensorPtr & dO,
              double scale) {
        const int64_t D = a.D, H = a.H, HK = a.HK, g = H / HK, n_out = D * H + H, n_grad = D * H + 2 * D * HK;
        out.assign(n_out * a.T, 0);
        grad.assign(n_grad * a.T, 0);
        for (size_t s = 0; s + 1 < a.cu.size(); s++) {
            for (int64_t i = a.cu[s]; i < a.cu[s + 1]; i++) {
                for (int64_t h = 0; h < H; h++) {
                    const int64_t kv = h / g * D, hd = h * D, n = i - a.cu[s] + 1,
                                  lo = a.window ? std::max<int64_t>(0, n - a.window) : 0;
                    std::vector<double> p(n), dp(n), slope(n, 1);
                    double              sum = 0, delta = 0;
                    for (int64_t j = lo; j < n; j++) {
                        double x = 0;
                        for (int64_t d = 0; d < D; d++) {
                            x += q->at(hd + d, i) * k->at(kv + d, a.cu[s] + j);
                            dp[j] += dO->at(hd + d, i) * v->at(kv + d, a.cu[s] + j);
                        }
                        x *= scale;
                        if (a.cap > 0) {
                            slope[j] = 1 - std::pow(std::tanh(x / a.cap), 2);
                            x        = a.cap * std::tanh(x / a.cap);
                        }
                        p[j] = std::exp(x);
                        sum += p[j];
                    }
                    for (int64_t j = 0; j < n; j++) {
                        p[j] /= sum;
                        delta += p[j] * dp[j];
                    }
                    out[i * n_out + D * H + h] = std::log(sum);
                    for (int64_t j = 0; j < n; j++) {
                        const int64_t t  = a.cu[s] + j;
                        const double  ds = p[j] * (dp[j] - delta) * slope[j] * scale;
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
    p.i[4]                 = (int32_t) a.window;
    p.f[1]                 = (float) a.cap;
    const bool        round = bf && has_bf16(); // scores, probabilities and operands rounded to 8 bits
    const std::string name = " D" + std::to_string(D) + " H" + std::to_string(a.H) + "/" + std::to_string(a.HK) + " T" +
                             std::to_string(T) + " S" + std::to_string(a.cu.size() - 1) + (bf ? " bf16" : "") +
                             " window " + std::to_string(a.window) + " cap " + std::to_string(a.cap);
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

// Operands in bf16 give the bits of the same numbers in f32.
void narrow_case(const Shape & a, bool bf) {
    const int64_t   D = a.D, T = a.T;
    // At odd distances.
    const TensorPtr q = packed(random(D * a.H, T), 1), k = packed(random(D * a.HK, T), 2),
                    v = packed(random(D * a.HK, T), 3);
    const TensorPtr wq = widened(q), wk = widened(k), wv = widened(v), dO = random(D * a.H, T), cu = integers(a.cu);
    const TensorPtr out = zeros(D * a.H + a.H, T), grad = zeros(D * a.H + 2 * D * a.HK, T), same = zeros(out->ne0(), T),
                    same_grad = zeros(grad->ne0(), T);
    Params          p;
    p.f[0]                 = 0.3f;
    p.i[0]                 = (int32_t) D;
    p.i[1]                 = (int32_t) a.H;
    p.i[2]                 = (int32_t) a.HK;
    p.i[3]                 = bf;
    const std::string name =
        " D" + std::to_string(D) + (bf ? " bf16" : " f32") + " of bf16: the bits of the same in f32";
    run(STEER_OP_ATTN, out, { q, k, v, cu }, p, false);
    run(STEER_OP_ATTN, same, { wq, wk, wv, cu }, p, false);
    expect("attn" + name, values(out) == values(same));
    run(STEER_OP_ATTN_BACK, grad, { dO, q, k, v, out, cu }, p, false);
    run(STEER_OP_ATTN_BACK, same_grad, { dO, wq, wk, wv, out, cu }, p, false);
    expect("attn_back" + name, values(grad) == values(same_grad));
    const TensorPtr eq = packed(widened(q)), ek = packed(widened(k), 2), ev = packed(widened(v), 4); // even distances
    run(STEER_OP_ATTN, same, { eq, ek, ev, cu }, p, false);
    expect("attn" + name + ", rows of whole items", values(out) == values(same));
    run(STEER_OP_ATTN_BACK, same_grad, { dO, eq, ek, ev, out, cu }, p, false);
    expect("attn_back" + name + ", rows of whole items", values(grad) == values(same_grad));
}

// A tree of segments.
struct Tree {
    int64_t              D, H, HK;
    std::vector<int32_t> lengths, parents;
    int64_t              unused; // tokens behind the last segment
    int64_t              window = 0;
};

// Against double precision, and to the bit against the sequences laid out whole.
void tree_case(const Tree & a, double size, bool bf) {
    const int64_t        D = a.D, n_out = a.D * a.H + a.H;
    std::vector<int32_t> cu = { 0 };
    for (int32_t n : a.lengths) {
        cu.push_back(cu.back() + n);
    }
    const int64_t   T = cu.back() + a.unused;
    const TensorPtr q = random(D * a.H, T, size, 1), k = random(D * a.HK, T, size, 2), v = random(D * a.HK, T, 1, 3);
    const Unfolded  whole(a.lengths, a.parents);
    const TensorPtr wq = whole.copy(q), wk = whole.copy(k), wv = whole.copy(v);
    Params          p;
    p.f[0] = 0.25f;
    p.i[0] = (int32_t) D;
    p.i[1] = (int32_t) a.H;
    p.i[2] = (int32_t) a.HK;
    p.i[3] = bf;
    p.i[4] = (int32_t) a.window;
    const std::string name = "attn of a tree D" + std::to_string(D) + " H" + std::to_string(a.H) + "/" +
                             std::to_string(a.HK) + " T" + std::to_string(T) + " S" + std::to_string(a.lengths.size()) +
                             (bf ? " bf16" : "");
    const TensorPtr out = zeros(n_out, T, 1), same = zeros(n_out, (int64_t) whole.from.size());
    run(STEER_OP_ATTN, out, { q, k, v, integers(cu), integers(a.parents) }, p, false);
    run(STEER_OP_ATTN, same, { wq, wk, wv, integers(whole.cu) }, p, false);
    const Reference           in_double({ D, a.H, a.HK, whole.cu, (int64_t) whole.from.size(), a.window }, wq, wk, wv,
                                        zeros(D * a.H, (int64_t) whole.from.size()), 0.25);
    const std::vector<double> want  = whole.fold(in_double.out, n_out, T);
    bool                      equal = true;
    for (size_t t = 0; t < whole.from.size(); t++) {
        const float * row = out->f32(whole.from[t]);
        equal             = equal && std::equal(row, row + n_out, same->f32((int64_t) t));
    }
    if (bf && has_bf16()) {
        check_rms(name, values(out), want, 1e-2);
    } else {
        check(name, values(out), want, 2e-5);
    }
    expect(name + ": the same bits as sequences laid out whole", equal);
}

void trees(bool bf) {
    const OwnDraws draws;
    tree_case({ 64, 9, 3, { 97, 1, 2 }, { -1, 0, 0 }, 0 }, 1, bf); // two answers to one question
    tree_case({ 64, 9, 3, { 300, 40, 1, 7, 129 }, { -1, 0, 1, 1, 0 }, 3 }, 1, bf); // several blocks of keys and levels
    tree_case({ 32, 4, 2, { 1, 128, 33, 5, 64, 64 }, { -1, 0, 0, -1, 3, 4 }, 0 }, 2, bf); // two trees, a chain
    tree_case({ 16, 2, 1, { 50, 60 }, { -1, -1 }, 0 }, 2, bf); // none shares
    for (int i = 0; i < 12; i++) {
        Tree a = { 8 * (1 + below(5)), 0, 1 + below(3), {}, {}, below(3) };
        a.H    = a.HK * (1 + below(4));
        for (int s = 1 + below(9); s > 0; s--) {
            a.parents.push_back(below((int) a.parents.size() + 1) - 1);
            a.lengths.push_back(below(3) ? 1 + below(70) : 1 + below(3));
        }
        tree_case(a, 2, bf);
        a.window = 1 + below(90);
        tree_case(a, 2, bf);
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
        attn_case({ 32, 3, 1, { 0, 300 }, 301, 100 }, 3, bf); // windows, shorter than a block of keys and longer
        attn_case({ 16, 2, 2, { 0, 290, 300 }, 300, 7, 1.5 }, 3, bf);
        attn_case({ 16, 4, 2, { 0, 290, 430 }, 430, 150 }, 2, bf);
        attn_case({ 40, 2, 1, { 0, 5, 140 }, 140, 1 }, 2, bf);
        attn_case({ 64, 4, 2, { 0, 33, 170 }, 172, 0, 2.5 }, 2, bf); // capped scores
        trees(bf);
        const OwnDraws draws;
        narrow_case({ 64, 9, 3, { 0, 33, 97 }, 98 }, bf);
        narrow_case({ 40, 2, 2, { 0, 5, 102 }, 102 }, bf);
        narrow_case({ 7, 2, 1, { 0, 20 }, 20 }, bf);
    }
}

} // namespace test
