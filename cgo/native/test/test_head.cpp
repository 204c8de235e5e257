// head_logprob, head_logprob_back, head_direction, head_direction_back, head_kl, scalar heads.

#include "harness.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace test {
namespace {

// Logits of one row in double.
std::vector<double> logits(const std::vector<double> & w, int64_t K, int64_t V, const TensorPtr & h, int row, double f,
                           bool round) {
    std::vector<double> l(V);
    for (int64_t v = 0; v < V; v++) {
        for (int64_t k = 0; k < K; k++) {
            l[v] += f * w[v * K + k] * (round ? bf16(h->at(k, row)) : h->at(k, row));
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

// common is added to every weight (F32 only): what rows have in common cancels in the gradient.
void head_case(ggml_type type, int64_t K, int64_t V, int64_t R, bool bf, double size, double common = 0) {
    const int64_t        T = 2 * R + 1;
    const TensorPtr      W = weight(type, K, V), h = random(K, T, size, 2), h2 = random(K, T, size, 2);
    std::vector<int32_t> rows, targets;
    for (int64_t i = 0; common != 0 && i < K * V; i++) {
        W->f32()[i] += (float) common;
    }
    for (int64_t r = 0; r < R; r++) {
        rows.push_back((int32_t) (2 * (R - r)) - (int32_t) (r % 2));
        targets.push_back(below((int) V));
    }
    const bool          round = bf && K % 2 == 0 && std::strcmp(steer_cpu_kernel_name(), "avx512bf16") == 0;
    std::vector<double> w     = values(W);
    for (double & x : w) {
        x = round ? bf16(x) : x;
    }
    const double         f = 0.7;
    std::vector<double>  want, want_kl, want_dh(K * T);
    const TensorPtr      g  = random(2, R, 1, 1);
    const TensorPtr      dh = random(K, T, 0.1, 3);
    std::vector<double>  dh0 = values(dh), add(K * T);
    for (int64_t r = 0; r < R; r++) {
        const std::vector<double> l  = logits(w, K, V, h, rows[r], f, round),
                                  l2 = logits(w, K, V, h2, rows[r], f, round);
        const double              lse = log_sum_exp(l), lse2 = log_sum_exp(l2);
        int64_t                   best = 0;
        for (int64_t v = 1; v < V; v++) {
            best = l[v] > l[best] ? v : best;
        }
        if (r % 3 == 0) {
            targets[r] = (int32_t) best;
        }
        double ent = 0, kl = 0;
        for (int64_t v = 0; v < V; v++) {
            const double lp = l[v] - lse;
            ent -= std::exp(lp) * lp;
            kl += std::exp(lp) * (lp - (l2[v] - lse2));
        }
        want.insert(want.end(), { l[targets[r]] - lse, ent, lse, best == targets[r] ? 1.0 : 0.0 });
        want_kl.push_back(kl);
        for (int64_t v = 0; v < V; v++) {
            const double lp = l[v] - lse, pv = std::exp(lp);
            const double d  = g->at(0, r) * ((v == targets[r]) - pv) - g->at(1, r) * pv * (lp + ent);
            for (int64_t k = 0; k < K; k++) {
                add[rows[r] * K + k] += f * d * w[v * K + k];
            }
        }
    }
    for (int64_t i = 0; i < K * T; i++) {
        want_dh[i] = dh0[i] + add[i];
    }
    const TensorPtr   ri = integers(rows), ti = integers(targets);
    const std::string name = std::string(" ") + ggml_type_name(type) + " K" + std::to_string(K) + " V" +
                             std::to_string(V) + " R" + std::to_string(R) + (bf ? " bf16" : " f32");
    Params p;
    p.f[0] = (float) f;
    p.i[0] = 1;
    p.i[1] = bf;
    const TensorPtr out = zeros(4, R);
    run(STEER_OP_HEAD_LOGPROB, out, { W, h, ri, ti }, p, false);
    check("head_logprob" + name, values(out), want, 1e-5);
    if (common == 0) { // it rebuilds the distribution from a rounded log-sum-exp
        run(STEER_OP_HEAD_LOGPROB_BACK, dh, { W, h, ri, ti, out, g }, p, true);
        check("head_logprob_back" + name, values(dh), want_dh, round ? 2e-2 : 3e-5);
    }
    // The direction: u and, by it, the gradient of the log-probability alone.
    const TensorPtr     both = zeros(4 + K, R, 1), g1 = random(2, R, 1, 1), dh1 = random(K, T, 0.1, 3);
    std::vector<double> want_both, want_dh1 = values(dh1);
    for (int64_t r = 0; r < R; r++) {
        const std::vector<double> l = logits(w, K, V, h, rows[r], f, round);
        std::vector<double>       u(K);
        for (int64_t v = 0; v < V; v++) {
            const double pv = std::exp(l[v] - want[4 * r + 2]);
            for (int64_t k = 0; k < K; k++) {
                u[k] += f * ((v == targets[r]) - pv) * w[v * K + k];
            }
        }
        want_both.insert(want_both.end(), want.begin() + 4 * r, want.begin() + 4 * r + 4);
        want_both.insert(want_both.end(), u.begin(), u.end());
        for (int64_t k = 0; k < K; k++) {
            want_dh1[rows[r] * K + k] += g1->at(0, r) * u[k];
        }
    }
    run(STEER_OP_HEAD_DIRECTION, both, { W, h, ri, ti }, p, false);
    check("head_direction" + name, values(both), want_both, round ? 1e-2 : 2e-5);
    run(STEER_OP_HEAD_DIRECTION_BACK, dh1, { both, ri, g1 }, {}, true);
    check("head_direction_back" + name, values(dh1), want_dh1, round ? 1e-2 : 3e-5);
    p.i[0] = 0;
    const TensorPtr both2 = zeros(4 + K, R);
    run(STEER_OP_HEAD_DIRECTION, both2, { W, h, ri, ti }, p, false);
    bool alike = true;
    for (int64_t r = 0; r < R; r++) {
        for (int64_t k = 0; k < 4 + K; k++) {
            alike = alike && (k == 1 ? both2->at(k, r) == 0 : std::fabs(both2->at(k, r) - both->at(k, r)) < 1e-6);
        }
    }
    expect("head_direction without entropy" + name, alike);
    const TensorPtr out2 = zeros(4, R);
    run(STEER_OP_HEAD_LOGPROB, out2, { W, h, ri, ti }, p, false);
    bool same = true;
    for (int64_t r = 0; r < R; r++) {
        same = same && out2->at(0, r) == out->at(0, r) && out2->at(1, r) == 0 && out2->at(3, r) == out->at(3, r);
    }
    expect("head_logprob without entropy" + name, same);
    const TensorPtr kl = zeros(R);
    run(STEER_OP_HEAD_KL, kl, { W, h, h2, ri }, p, false);
    check("head_kl" + name, values(kl), want_kl, 2e-5);
    run(STEER_OP_HEAD_KL, kl, { W, h, h, ri }, p, false);
    check("head_kl of equal states" + name, values(kl), std::vector<double>(R), 1e-5);
}

// The gradient is that of the log-probability and entropy: central differences of the
// operation's own double reference would repeat the formula, so differences of the
// operation itself.
void head_difference() {
    const int64_t   K = 64, V = 50, R = 2;
    const TensorPtr W = weight(GGML_TYPE_F32, K, V, 0.5), h = random(K, 3, 1), g = random(2, R, 1);
    const TensorPtr rows = integers({ 2, 0 }), targets = integers({ 7, 31 });
    Params          p;
    p.f[0] = 0.8f;
    p.i[0] = 1;
    const TensorPtr out = zeros(4, R), dh = zeros(K, 3);
    auto loss = [&] {
        run(STEER_OP_HEAD_LOGPROB, out, { W, h, rows, targets }, p, false);
        double s = 0;
        for (int64_t r = 0; r < R; r++) {
            s += g->at(0, r) * out->at(0, r) + g->at(1, r) * out->at(1, r);
        }
        return s;
    };
    std::vector<double> got, want;
    for (int64_t k = 0; k < K; k += 7) {
        for (int row : { 0, 2 }) {
            const float x    = h->f32(row)[k];
            h->f32(row)[k]   = x + 0.01f;
            const double up  = loss();
            h->f32(row)[k]   = x - 0.01f;
            const double dn  = loss();
            h->f32(row)[k]   = x;
            want.push_back((up - dn) / 0.02);
        }
    }
    loss();
    run(STEER_OP_HEAD_LOGPROB_BACK, dh, { W, h, rows, targets, out, g }, p, true);
    for (int64_t k = 0; k < K; k += 7) {
        got.push_back(dh->at(k, 0));
        got.push_back(dh->at(k, 2));
    }
    check("head_logprob_back against differences", got, want, 2e-3);
}

void scalar_case(int64_t n, int64_t T, std::vector<int32_t> rows) {
    const int64_t       P = (int64_t) rows.size();
    const TensorPtr     w = random(n), b = random(1), h = random(n, T, 1, 1), g = random(P), ri = integers(rows);
    std::vector<double> o(P), dh(n * T);
    const TensorPtr     gw = random(n), gb = random(1);
    std::vector<double> dw = values(gw), db = values(gb);
    for (int64_t p = 0; p < P; p++) {
        o[p] = b->at(0);
        db[0] += g->at(p);
        for (int64_t i = 0; i < n; i++) {
            o[p] += w->at(i) * h->at(i, rows[p]);
            dh[rows[p] * n + i] += g->at(p) * w->at(i);
            dw[i] += g->at(p) * h->at(i, rows[p]);
        }
    }
    const TensorPtr out = zeros(P), back = zeros(n, T, 2);
    run(STEER_OP_SCALAR_HEAD, out, { w, b, h, ri }, {}, false);
    check("scalar_head", values(out), o, 1e-5);
    Params p;
    p.i[0] = 1;
    run(STEER_OP_SCALAR_HEAD_BACK, back, { w, h, ri, g }, p, false);
    check("scalar_head_back", values(back), dh, 1e-6);
    p.i[0] = 0;
    run(STEER_OP_SCALAR_HEAD_BACK, back, { w, h, nullptr, nullptr }, p, false);
    check("scalar_head_back without rows", values(back), std::vector<double>(n * T), 1e-6);
    run(STEER_OP_SCALAR_HEAD_GRAD, gw, { h, ri, g }, {}, true);
    check("scalar_head_grad", values(gw), dw, 1e-5);
    run(STEER_OP_SCALAR_HEAD_GRAD_BIAS, gb, { g }, {}, true);
    check("scalar_head_grad_bias", values(gb), db, 1e-6);
}

// Several targets of one row give the bits that each gives alone, wherever they stand in the list.
void shared_rows_case(ggml_type type, int64_t K, int64_t V, int64_t R, bool bf) {
    const OwnDraws       draws;
    const int64_t        T = 40;
    const TensorPtr      W = weight(type, K, V), h = random(K, T, 1, 1);
    std::vector<int32_t> rows, targets;
    for (int64_t r = 0; r < R; r++) {
        rows.push_back(r > 0 && below(3) ? rows.back() : below((int) T));
        targets.push_back(below((int) V));
    }
    Params p;
    p.f[0] = 1.3f;
    p.i[0] = 1;
    p.i[1] = bf;
    const TensorPtr out = zeros(4, R, 1);
    run(STEER_OP_HEAD_LOGPROB, out, { W, h, integers(rows), integers(targets) }, p, false);
    bool equal = true;
    for (int64_t r = 0; r < R; r++) {
        const TensorPtr alone = zeros(4, 1);
        run(STEER_OP_HEAD_LOGPROB, alone, { W, h, integers({ rows[r] }), integers({ targets[r] }) }, p, false);
        equal = equal && std::equal(alone->f32(), alone->f32() + 4, out->f32(r));
    }
    expect(std::string("head_logprob, several targets a row, ") + ggml_type_name(type) + (bf ? " bf16" : " f32"),
           equal);
}

} // namespace

void test_head() {
    for (bool bf : { false, true }) {
        shared_rows_case(GGML_TYPE_F32, 24, 300, 30, bf);
        shared_rows_case(GGML_TYPE_Q8_0, 64, 517, 70, bf);
    }
    for (bool bf : { false, true }) {
        head_case(GGML_TYPE_Q8_0, 64, 517, 9, bf, 1);
        head_case(GGML_TYPE_Q4_1, 96, 300, 1, bf, 3);
        head_case(GGML_TYPE_Q6_K, 256, 77, 5, bf, 0.3);
        head_case(GGML_TYPE_F32, 75, 31, 3, bf, 1);
        head_case(GGML_TYPE_F16, 64, 40, 300, bf, 0.5); // more rows than one walk takes
        head_case(GGML_TYPE_Q8_0, 4096, 70, 2, bf, 0.1); // narrow groups
        head_case(GGML_TYPE_F32, 64, 30000, 3, bf, 1, 4); // long sums of large terms
    }
    head_difference();
    scalar_case(75, 7, { 6, 0, 3, 3 });
    scalar_case(576, 3, { 2 });
}

} // namespace test
