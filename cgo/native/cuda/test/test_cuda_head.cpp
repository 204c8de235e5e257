// head_logprob, head_direction, head_direction_back, head_logprob_back, head_kl, scalar heads.

#include "cuda_harness.h"

#include <cmath>

namespace test {
namespace {

// Logits of one row in double.
std::vector<double> logits(const std::vector<double> & w, int64_t K, int64_t V, const std::vector<double> & h,
                           int64_t row, double f) {
    std::vector<double> l(V);
    for (int64_t v = 0; v < V; v++) {
        for (int64_t k = 0; k < K; k++) {
            l[v] += f * w[v * K + k] * h[row * K + k];
        }
    }
    return l;
}

double log_sum_exp(const std::vector<double> & l) {
    double m = l[0], s = 0;
    for (double x : l) {
        m = std::max(m, x);
    }
    for (double x : l) {
        s += std::exp(x - m);
    }
    return m + std::log(s);
}

struct Wanted {
    std::vector<double> out, direction, kl, dh, dh_direction;
};

struct HeadCase {
    ggml_type type;
    int64_t   K, V, R;
    bool      narrow;
    double    size;
};

// What every operation should give; also sets some targets to the best entry.
Wanted reference(const HeadCase & a, const std::vector<double> & w, const std::vector<double> & h,
                 const std::vector<double> & h2, const std::vector<int32_t> & rows, std::vector<int32_t> & targets,
                 const TensorPtr & g, const TensorPtr & dh, double f) {
    Wanted want;
    want.dh = want.dh_direction = values(dh);
    for (int64_t r = 0; r < a.R; r++) {
        const std::vector<double> l = logits(w, a.K, a.V, h, rows[r], f), l2 = logits(w, a.K, a.V, h2, rows[r], f);
        const double              lse = log_sum_exp(l), lse2 = log_sum_exp(l2);
        int64_t                   best = 0;
        for (int64_t v = 1; v < a.V; v++) {
            best = l[v] > l[best] ? v : best;
        }
        targets[r] = r % 3 == 0 ? (int32_t) best : targets[r];
        double              ent = 0, kl = 0;
        std::vector<double> u(a.K);
        for (int64_t v = 0; v < a.V; v++) {
            const double lp = l[v] - lse, p = std::exp(lp);
            ent -= p * lp;
            kl += p * (lp - (l2[v] - lse2));
        }
        for (int64_t v = 0; v < a.V; v++) {
            const double lp = l[v] - lse, p = std::exp(lp), d = (v == targets[r]) - p;
            for (int64_t k = 0; k < a.K; k++) {
                u[k] += f * d * w[v * a.K + k];
                want.dh[rows[r] * a.K + k] += f * (g->at(0, r) * d - g->at(1, r) * p * (lp + ent)) * w[v * a.K + k];
            }
        }
        const double head[] = { l[targets[r]] - lse, ent, lse, best == targets[r] ? 1.0 : 0.0 };
        want.out.insert(want.out.end(), head, head + 4);
        want.direction.insert(want.direction.end(), head, head + 4);
        want.direction.insert(want.direction.end(), u.begin(), u.end());
        want.kl.push_back(kl);
        for (int64_t k = 0; k < a.K; k++) {
            want.dh_direction[rows[r] * a.K + k] += g->at(0, r) * u[k];
        }
    }
    return want;
}

void head_case(const HeadCase & a) {
    const int64_t        T = 2 * a.R + 1;
    const ggml_type      type = a.narrow ? GGML_TYPE_BF16 : GGML_TYPE_F32;
    const TensorPtr      W = weight(a.type, a.K, a.V), h = random(a.K, T, a.size, 2), h2 = random(a.K, T, a.size, 2),
                         g = random(2, a.R, 1, 1);
    const TensorPtr      dh = random(a.K, T, 0.1, 3);
    std::vector<int32_t> rows, targets;
    for (int64_t r = 0; r < a.R; r++) {
        rows.push_back((int32_t) (2 * (a.R - r)) - (int32_t) (r % 2));
        targets.push_back(below((int) a.V));
    }
    Params p;
    p.f[0] = 0.7f;
    p.i[0] = 1;
    p.i[1] = a.narrow;
    const Wanted      want = reference(a, rounded(values(W), type), rounded(values(h), type), rounded(values(h2), type),
                                       rows, targets, g, dh, p.f[0]);
    const TensorPtr   ri = integers(rows), ti = integers(targets), out = empty(GGML_TYPE_F32, 4, a.R);
    const std::string name = std::string(ggml_type_name(a.type)) + " K" + std::to_string(a.K) + " V" +
                             std::to_string(a.V) + " R" + std::to_string(a.R) + (a.narrow ? " bf16" : " f32");
    const double      twin = a.narrow ? 2e-2 : 2e-5; // the CPU multiplies in bf16 only where it can
    compare({ "head_logprob", steer_cuda_head_logprob, out, { W, h, ri, ti }, p }, name, want.out, 1e-5, twin);
    const TensorPtr direction = empty(GGML_TYPE_F32, 4 + a.K, a.R, 4);
    compare({ "head_direction", steer_cuda_head_direction, direction, { W, h, ri, ti }, p }, name, want.direction,
            a.narrow ? 1e-2 : 3e-5, twin);
    const TensorPtr dh2 = std::make_shared<Tensor>(*dh);
    dh2->get()->data    = dh2->bytes().data();
    compare({ "head_direction_back", steer_cuda_head_direction_back, dh2, { direction, ri, g }, {}, true }, name,
            want.dh_direction, a.narrow ? 2e-2 : 3e-5, 1e-6);
    compare({ "head_logprob_back", steer_cuda_head_logprob_back, dh, { W, h, ri, ti, out, g }, p, true }, name, want.dh,
            a.narrow ? 2e-2 : 3e-5, a.narrow ? 3e-2 : 3e-5);
    const TensorPtr kl = empty(GGML_TYPE_F32, a.R, 1);
    compare({ "head_kl", steer_cuda_head_kl, kl, { W, h, h2, ri }, p }, name, want.kl, 2e-5, twin);
    p.i[0]               = 0;
    const TensorPtr out2 = empty(GGML_TYPE_F32, 4, a.R);
    run_cuda("head_logprob", steer_cuda_head_logprob, out2, { W, h, ri, ti }, p, false);
    bool same = true;
    for (int64_t r = 0; r < a.R; r++) {
        same = same && out2->at(0, r) == out->at(0, r) && out2->at(1, r) == 0 && out2->at(3, r) == out->at(3, r);
    }
    expect("head_logprob without entropy " + name, same);
}

// A row that is nearly certain keeps the relative precision of its small u, in bf16 too.
void confident_case() {
    const int64_t       K = 64, V = 40;
    const TensorPtr W = weight(GGML_TYPE_F32, K, V), h = zeros(K, 1), rows = integers({ 0 }), targets = integers({ 7 });
    for (int64_t k = 0; k < K; k++) {
        h->f32()[k] = W->f32(7)[k]; // the logit of 7 is about 21, the others' about 0
    }
    const std::vector<double> w = rounded(values(W), GGML_TYPE_BF16),
                              l = logits(w, K, V, rounded(values(h), GGML_TYPE_BF16), 0, 0.5);
    const double              lse = log_sum_exp(l);
    std::vector<double>       u(K);
    for (int64_t v = 0; v < V; v++) {
        for (int64_t k = 0; k < K; k++) {
            u[k] += 0.5 * (v == 7 ? -std::expm1(l[v] - lse) : -std::exp(l[v] - lse)) * w[v * K + k];
        }
    }
    Params p;
    p.f[0] = 0.5f;
    p.i[1] = 1;
    const TensorPtr out = empty(GGML_TYPE_F32, 4 + K, 1);
    run_cuda("head_direction", steer_cuda_head_direction, out, { W, h, rows, targets }, p, false);
    const std::vector<double> got = values(out);
    check("head_direction of a certain row", std::vector<double>(got.begin() + 4, got.end()), u, 1e-2);
}

// A row or target that does not exist gives NaN, not a stray access.
void stray_case() {
    const TensorPtr W = weight(GGML_TYPE_F32, 32, 20), h = random(32, 3), out = empty(GGML_TYPE_F32, 36, 3);
    Params          p;
    p.f[0] = 1;
    run_cuda("head_direction", steer_cuda_head_direction, out, { W, h, integers({ 0, 7, 1 }), integers({ 20, 3, -1 }) },
             p, false);
    for (int64_t r = 0; r < 3; r++) {
        expect("stray row or target", std::isnan(out->at(0, r)) && std::isnan(out->at(20, r)));
    }
}

void scalar_case(int64_t n, int64_t T, std::vector<int32_t> rows) {
    const int64_t       P = (int64_t) rows.size();
    const TensorPtr     w = random(n), b = random(1), h = random(n, T, 1, 1), g = random(P), ri = integers(rows),
                        gw = random(n), gb = random(1);
    std::vector<double> o(P), dh(n * T), dw = values(gw), db = values(gb);
    for (int64_t p = 0; p < P; p++) {
        o[p] = b->at(0);
        db[0] += g->at(p);
        for (int64_t i = 0; i < n; i++) {
            o[p] += w->at(i) * h->at(i, rows[p]);
            dh[rows[p] * n + i] += g->at(p) * w->at(i);
            dw[i] += g->at(p) * h->at(i, rows[p]);
        }
    }
    const std::string name = std::to_string(n) + "x" + std::to_string(T);
    Params            p;
    compare({ "scalar_head", steer_cuda_scalar_head, empty(GGML_TYPE_F32, P, 1), { w, b, h, ri }, {} }, name, o, 1e-5,
            1e-5);
    compare({ "scalar_head_back", steer_cuda_scalar_head_back, empty(GGML_TYPE_F32, n, T, 2),
              { w, h, nullptr, nullptr }, p },
            "zeros " + name, std::vector<double>(n * T), 0, 0);
    p.i[0] = 1;
    compare({ "scalar_head_back", steer_cuda_scalar_head_back, empty(GGML_TYPE_F32, n, T, 2), { w, h, ri, g }, p },
            name, dh, 1e-6, 1e-6);
    compare({ "scalar_head_grad", steer_cuda_scalar_head_grad, gw, { h, ri, g }, {}, true }, name, dw, 1e-5, 1e-5);
    compare({ "scalar_head_grad_bias", steer_cuda_scalar_head_grad_bias, gb, { g }, {}, true }, name, db, 1e-6, 1e-6);
}

} // namespace

void test_cuda_head() {
    const steer_cuda_limits whole = device().limits;
    for (bool narrow : { false, true }) {
        device().limits = whole;
        head_case({ GGML_TYPE_Q8_0, 64, 197, 5, narrow, 1 });
        head_case({ GGML_TYPE_Q6_K, 256, 37, 1, narrow, 0.3 });
        device().limits.head_rows   = 4; // several walks, panels and chunks
        device().limits.panel_rows  = 3;
        device().limits.panel_vocab = 50;
        head_case({ GGML_TYPE_Q8_0, 64, 517, 9, narrow, 1 });
        head_case({ GGML_TYPE_Q4_1, 96, 101, 1, narrow, 3 });
        head_case({ GGML_TYPE_F32, 75, 131, 3, narrow, 1 });
        head_case({ GGML_TYPE_BF16, 64, 60, 5, narrow, 1 });
    }
    confident_case();
    device().limits = whole;
    stray_case();
    scalar_case(75, 7, { 6, 0, 3, 3 });
    scalar_case(576, 3, { 2 });
    scalar_case(33, 4, std::vector<int32_t>(300, 1));
}

} // namespace test
