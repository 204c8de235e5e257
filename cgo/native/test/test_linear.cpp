// pack, linear, linear_back, the latter two also with LoRA pairs.

#include "harness.h"

#include <cmath>
#include <cstring>

namespace test {
namespace {

const ggml_type all_types[] = { GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q2_K, GGML_TYPE_Q3_K,
                                GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K };

// A LoRA pair's matrix and its activations; bf says whether the activations are bf16.
struct PairCase {
    int64_t rank;
    bool    bf;
};

// Values of a pair's f32 matrix as its product sees them.
std::vector<double> seen(const TensorPtr & matrix, const PairCase & c) {
    std::vector<double> m = values(matrix);
    for (double & v : m) {
        v = c.bf && has_bf16() && c.rank % 2 == 0 ? bf16(v) : v;
    }
    return m;
}

void linear_case(ggml_type type, int64_t K, int64_t N, int64_t T, bool bf, const std::vector<PairCase> & pairs = {}) {
    const TensorPtr     W = weight(type, K, N), xf = random(K, T, 1, 3), x = bf ? packed(xf) : xf;
    std::vector<double> w = values(W), xv = values(x), want(N * T);
    for (double & v : w) { // the bf16 product rounds weights too
        v = bf && has_bf16() && K % 2 == 0 ? bf16(v) : v;
    }
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            double s = 0;
            for (int64_t k = 0; k < K; k++) {
                s += w[n * K + k] * xv[t * K + k];
            }
            want[t * N + n] = s;
        }
    }
    std::vector<TensorPtr> src = { W, x };
    for (const PairCase & c : pairs) {
        const TensorPtr           B = random(c.rank, N), h = activation(c.bf, random(c.rank, T, 1, c.bf ? 0 : 3));
        const std::vector<double> b = seen(B, c), hv = values(h);
        for (int64_t t = 0; t < T; t++) {
            for (int64_t n = 0; n < N; n++) {
                for (int64_t j = 0; j < c.rank; j++) {
                    want[t * N + n] += b[n * c.rank + j] * hv[t * c.rank + j];
                }
            }
        }
        src.push_back(B);
        src.push_back(h);
    }
    const std::string name = std::string(ggml_type_name(type)) + (bf ? " bf16 " : " f32 ") + std::to_string(K) + "x" +
                             std::to_string(N) + "x" + std::to_string(T) + " pairs " + std::to_string(pairs.size());
    const TensorPtr y = zeros(N, T, 5);
    run(STEER_OP_LINEAR, y, src, {}, false);
    check("linear " + name, values(y), want, 2e-5);
    const TensorPtr y16 = activation(true, N, T, 3);
    run(STEER_OP_LINEAR, y16, src, {}, false);
    expect("linear " + name + ": in bf16 it is the same, rounded once", values(y16) == values(packed(y)));
}

void back_case(ggml_type type, int64_t K, int64_t N, int64_t T, bool bf, bool accumulate,
               const std::vector<PairCase> & pairs = {}) {
    const TensorPtr     W = weight(type, K, N), df = random(N, T, 1, 2), dy = bf ? packed(df) : df;
    std::vector<double> w = values(W), dv = values(dy), want(K * T);
    for (double & v : w) {
        v = bf && has_bf16() && N % 2 == 0 ? bf16(v) : v;
    }
    const TensorPtr dx = random(K, T, 1, 1);
    if (accumulate) {
        want = values(dx);
    }
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * K + k] += w[n * K + k] * dv[t * N + n];
            }
        }
    }
    std::vector<TensorPtr> src = { W, dy };
    for (const PairCase & c : pairs) {
        const TensorPtr           A = random(K, c.rank), dh = activation(c.bf, random(c.rank, T, 1, c.bf ? 0 : 3));
        const std::vector<double> a = seen(A, c), d = values(dh);
        for (int64_t t = 0; t < T; t++) {
            for (int64_t k = 0; k < K; k++) {
                for (int64_t j = 0; j < c.rank; j++) {
                    want[t * K + k] += a[j * K + k] * d[t * c.rank + j];
                }
            }
        }
        src.push_back(A);
        src.push_back(dh);
    }
    Params p;
    p.i[0] = accumulate;
    run(STEER_OP_LINEAR_BACK, dx, src, p, accumulate);
    check(std::string("linear_back ") + ggml_type_name(type) + (bf ? " bf16 " : " f32 ") + std::to_string(K) + "x" +
              std::to_string(N) + "x" + std::to_string(T) + (accumulate ? " acc" : ""),
          values(dx), want, 2e-5);
}

void pack_case() {
    const TensorPtr x = random(97, 5, 3, 2);
    x->f32(0)[0]      = 1.00390625f; // halfway between two bf16: to even
    x->f32(0)[1]      = 1.01171875f;
    x->f32(0)[2]      = -1e-30f;
    x->f32(0)[3]      = INFINITY;
    const TensorPtr y = std::make_shared<Tensor>(GGML_TYPE_BF16, 97, 5, 1);
    run(STEER_OP_PACK, y, { x }, {}, false);
    std::vector<double> want = values(x), got = values(y);
    bool                ok   = std::isinf(got[3]);
    for (size_t i = 0; i < want.size(); i++) {
        ok = ok && (i == 3 || got[i] == bf16(want[i]));
    }
    expect("pack rounds to nearest even", ok);
    x->f32(0)[0] = NAN;
    run(STEER_OP_PACK, y, { x }, {}, false);
    expect("pack keeps NaN", std::isnan(values(y)[0]));
}

} // namespace

void test_linear() {
    pack_case();
    for (ggml_type type : all_types) {
        const int64_t K = ggml_blck_size(type) == 256 ? 512 : type == GGML_TYPE_F32 ? 75 : 96;
        for (bool bf : { false, true }) {
            linear_case(type, K, 67, 33, bf);
            back_case(type, K, 34, 33, bf, false);
            back_case(type, K, 67, 5, bf, true);
        }
    }
    for (bool bf : { false, true }) {
        linear_case(GGML_TYPE_Q8_0, 576, 99, 97, bf);
        linear_case(GGML_TYPE_Q4_1, 64, 33, 1, bf);
        linear_case(GGML_TYPE_Q4_0, 64, 8, 5, bf);
        linear_case(GGML_TYPE_F16, 70, 40, 300, bf); // several token chunks
        linear_case(GGML_TYPE_Q4_K, 2304, 5, 3, bf); // several depth chunks
        linear_case(GGML_TYPE_Q8_0, 1056, 40, 1030, bf); // and more tokens than sums of bf16 results are held for
        linear_case(GGML_TYPE_Q8_0, 32, 3, 600, bf);
        back_case(GGML_TYPE_Q8_0, 576, 98, 97, bf, true);
        back_case(GGML_TYPE_Q4_1, 64, 34, 1, bf, false);
        back_case(GGML_TYPE_Q6_K, 256, 1538, 3, bf, true);
        back_case(GGML_TYPE_Q8_0, 32, 4100, 2, bf, false);
        back_case(GGML_TYPE_Q8_0, 32, 6, 600, bf, false);
        for (const std::vector<PairCase> & pairs : { std::vector<PairCase>{ { 16, bf } },
                                                     { { 3, bf }, { 8, !bf } },
                                                     { { 40, true }, { 5, true }, { 1, false } } }) {
            linear_case(GGML_TYPE_Q4_1, 64, 99, 33, bf, pairs);
            linear_case(GGML_TYPE_Q8_0, 2304, 67, 600, bf, pairs); // several depth and token chunks
            linear_case(GGML_TYPE_F32, 75, 8, 1, bf, pairs);
            back_case(GGML_TYPE_Q4_1, 96, 67, 33, bf, false, pairs);
            back_case(GGML_TYPE_Q8_0, 32, 4100, 5, bf, true, pairs);
            back_case(GGML_TYPE_F32, 75, 34, 300, bf, true, pairs);
        }
    }
}

} // namespace test
