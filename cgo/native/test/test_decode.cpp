// The inner loops of decoding: rows of norm and SwiGLU, dot products of few tokens,
// attention over a half-precision cache.

#include "../cpu/kernels.h"
#include "harness.h"

#include <cmath>

namespace test {
namespace {

using steer::kernels;

void row_case(int n) {
    const TensorPtr     x = random(n, 1, 3), w = random(n), gate = random(n, 1, 8), y = zeros(n), z = zeros(n);
    std::vector<double> norm(n), gated(n);
    double              ss = 0;
    for (int i = 0; i < n; i++) {
        ss += x->at(i) * x->at(i);
    }
    for (int i = 0; i < n; i++) {
        norm[i]  = w->at(i) * x->at(i) / std::sqrt(ss / n + 1e-5);
        gated[i] = gate->at(i) / (1 + std::exp(-gate->at(i))) * x->at(i);
    }
    kernels().rms_norm(x->f32(), w->f32(), y->f32(), n, 1e-5f);
    check("rms_norm", values(y), norm, 1e-5);
    kernels().swiglu(gate->f32(), x->f32(), z->f32(), n);
    check("swiglu", values(z), gated, 1e-5);
}

using Dots = void (*)(int, int, const steer::DotTerm *, int, const float *, ptrdiff_t, float *, ptrdiff_t);

// Two terms and what they are added to, against double precision; and every element by itself, in
// other numbers of rows and tokens, to the bit.
void dots_case(bool bf16, int N, int64_t K, int T, bool add) {
    const Dots       dots = bf16 ? kernels().dots_bf16 : kernels().dots_f32;
    const int64_t    r    = 5;
    TensorPtr        w = random(K, N), x = random(K, T), b = random(r, N), h = random(r, T);
    const TensorPtr  from = random(N, T, 1, 3), y = zeros(N, T, 2);
    if (bf16) {
        w = packed(w), x = packed(x), b = packed(b), h = packed(h);
    }
    const auto at = [&](const TensorPtr & t, int64_t row) {
        return bf16 ? (const void *) t->u16(row) : (const void *) t->f32(row);
    };
    const auto value = [&](const TensorPtr & t, int64_t k, int64_t row) {
        return bf16 ? (double) bf16_value(t->u16(row)[k]) : t->at(k, row);
    };
    const auto ld = [&](const TensorPtr & t) { return (ptrdiff_t) (t->get()->nb[1] / (bf16 ? 2 : 4)); };
    const auto run = [&](int n0, int n, int t0, int t, float * to, ptrdiff_t ldt) {
        const steer::DotTerm terms[] = { { at(w, n0), ld(w), at(x, t0), ld(x), K },
                                         { at(b, n0), ld(b), at(h, t0), ld(h), r } };
        dots(n, t, terms, 2, add ? from->f32(t0) + n0 : nullptr, N + 3, to, ldt);
    };
    std::vector<double> want(N * T);
    for (int t = 0; t < T; t++) {
        for (int n = 0; n < N; n++) {
            double sum = add ? from->at(n, t) : 0;
            for (int64_t k = 0; k < K; k++) {
                sum += value(w, k, n) * value(x, k, t);
            }
            for (int64_t k = 0; k < r; k++) {
                sum += value(b, k, n) * value(h, k, t);
            }
            want[t * N + n] = sum;
        }
    }
    run(0, N, 0, T, y->f32(), N + 2);
    check(bf16 ? "dots_bf16" : "dots_f32", values(y), want, 1e-5);
    for (int part = 1; part <= 5; part++) {
        const int n0 = below(N), n = 1 + below(N - n0), t0 = below(T), t = 1 + below(T - t0);
        std::vector<float> some(n * t);
        run(n0, n, t0, t, some.data(), n);
        bool same = true;
        for (int i = 0; i < n * t; i++) {
            same = same && some[i] == y->f32(t0 + i / n)[n0 + i % n];
        }
        expect("the dot products of a part are those of the whole", same);
    }
}

void attn_case(int D, int heads, int cells, int n) {
    const int             step = D + 3; // halves from cell to cell
    const TensorPtr       q = random(D, heads, 1, 5), o = zeros(D, heads, 1);
    std::vector<uint16_t> k(cells * step), v(cells * step);
    for (size_t i = 0; i < k.size(); i++) {
        k[i] = ggml_fp32_to_fp16((float) (2 * uniform() - 1));
        v[i] = ggml_fp32_to_fp16((float) (2 * uniform() - 1));
    }
    std::vector<int32_t> seen(n);
    for (int32_t & cell : seen) {
        cell = below(cells);
    }
    const double        scale = 0.3;
    std::vector<double> want(D * heads);
    for (int h = 0; h < heads; h++) {
        std::vector<double> p(n);
        double              sum = 0;
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int d = 0; d < D; d++) {
                s += q->at(d, h) * ggml_fp16_to_fp32(k[seen[j] * step + d]);
            }
            sum += p[j] = std::exp(scale * s);
        }
        for (int j = 0; j < n; j++) {
            for (int d = 0; d < D; d++) {
                want[h * D + d] += p[j] / sum * ggml_fp16_to_fp32(v[seen[j] * step + d]);
            }
        }
    }
    std::vector<float> s(4 * (n + 3));
    kernels().attn_cells(heads, D, q->f32(), D + 5, k.data(), step * 2, v.data(), step * 2, seen.data(), n,
                         (float) scale, 0.0f, s.data(), o->f32(), D + 1);
    check("attn_cells", values(o), want, 1e-5);
}

} // namespace

void test_decode() {
    for (int n : { 1, 15, 16, 17, 64, 577 }) {
        row_case(n);
    }
    for (int D : { 6, 16, 64, 80, 128 }) {
        for (int heads : { 1, 2, 3, 4, 7, 8 }) {
            attn_case(D, heads, 40, 1 + below(60));
        }
    }
    for (bool bf16 : { false, true }) {
        if (bf16 && !kernels().dots_bf16) {
            continue;
        }
        for (int T : { 1, 2, 3, 4, 5, 8, 11 }) {
            for (int64_t K : { 1, 3, 15, 16, 17, 31, 32, 33, 100, 576 }) {
                dots_case(bf16, T == 3 ? 48 : 7, K, T, T % 2);
            }
        }
    }
}

} // namespace test
