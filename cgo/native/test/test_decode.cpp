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

void bf16_case(int N, int64_t K, int T, bool accumulate) {
    const TensorPtr     w = packed(random(K, N)), x = packed(random(K, T)), y = random(N, T, 1, 3);
    std::vector<double> want = accumulate ? values(y) : std::vector<double>(N * T);
    for (int t = 0; t < T; t++) {
        for (int n = 0; n < N; n++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * N + n] += (double) bf16_value(w->u16(n)[k]) * bf16_value(x->u16(t)[k]);
            }
        }
    }
    kernels().dots_bf16(N, K, w->u16(), K, T, x->u16(), K, y->f32(), N + 3, accumulate);
    check("dots_bf16", values(y), want, 1e-5);
}

// Against the weights in double; of the activations only eight bits are kept.
void q8_case(ggml_type type, int N, int64_t K, int T) {
    if (!kernels().dots_q8(type, 0, K, nullptr, 0, 0, nullptr, 0, nullptr, 0)) {
        return;
    }
    const TensorPtr      W = weight(type, K, N), x = random(K, T), y = zeros(N, T, 2);
    std::vector<float>   row(K);
    const int64_t        ldx = (K + 63) / 64 * 64 * 3;
    std::vector<int8_t>  q(ldx * T);
    std::vector<double>  want(N * T);
    for (int t = 0; t < T; t++) {
        kernels().quantize_q8(x->f32(t), K, q.data() + t * ldx);
        const float * d8 = (const float *) (q.data() + t * ldx + ldx / 3);
        for (int64_t k = 0; k < K; k++) { // what the blocks stand for is near x
            row[k] = d8[k / 32 * 8] * q[t * ldx + k];
            expect("quantize_q8", std::fabs(row[k] - x->f32(t)[k]) <= 0.5001f * d8[k / 32 * 8]);
        }
        std::vector<float> w(K);
        for (int n = 0; n < N; n++) {
            ggml_get_type_traits(type)->to_float((const char *) W->get()->data + n * W->get()->nb[1], w.data(), K);
            for (int64_t k = 0; k < K; k++) {
                want[t * N + n] += (double) w[k] * row[k];
            }
        }
    }
    expect("dots_q8 knows the type",
           kernels().dots_q8(type, N, K, W->get()->data, W->get()->nb[1], T, q.data(), ldx, y->f32(), N + 2));
    check(std::string("dots_q8 ") + ggml_type_name(type), values(y), want, 1e-5);
}

void attn_case(int D, int heads, int cells, int n) {
    const int             step = D + 3; // halves from cell to cell
    const TensorPtr       q = random(D, heads, 1, 5), o = zeros(D, heads, 1);
    std::vector<uint16_t> k(cells * step), v(cells * step);
    for (size_t i = 0; i < k.size(); i++) {
        k[i] = ggml_fp32_to_fp16((float) (2 * uniform() - 1));
        v[i] = ggml_fp32_to_fp16((float) (2 * uniform() - 1));
    }
    std::vector<int32_t> seen;
    for (int j = 0; j < n; j++) {
        seen.push_back(below(cells));
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
    kernels().attn_cells(heads, D, q->f32(), D + 5, k.data(), step * 2, v.data(), step * 2, seen.data(), n, (float) scale, s.data(),
                         o->f32(), D + 1);
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
    if (!kernels().dots_bf16) {
        return;
    }
    for (int T : { 1, 2, 3, 4, 5, 8, 11 }) {
        for (int64_t K : { 1, 3, 31, 32, 33, 100, 576 }) {
            bf16_case(T == 3 ? 48 : 7, K, T, T % 2);
        }
        for (ggml_type type : { GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q8_0 }) {
            for (int64_t K : { 32, 64, 96, 576 }) {
                q8_case(type, T == 3 ? 48 : 7, K, T);
            }
        }
    }
}

} // namespace test
