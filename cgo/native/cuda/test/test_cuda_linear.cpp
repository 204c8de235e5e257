// linear and linear_back for every weight type, with LoRA parts, in one chunk and in several.

#include "cuda_harness.h"

#include <cmath>
#include <cstring>

namespace test {
namespace {

const ggml_type weight_types[] = { GGML_TYPE_F32,   GGML_TYPE_F16,   GGML_TYPE_BF16, GGML_TYPE_Q8_0,   GGML_TYPE_Q4_0,
                                   GGML_TYPE_Q4_1,  GGML_TYPE_Q5_0,  GGML_TYPE_Q5_1, GGML_TYPE_Q2_K,   GGML_TYPE_Q3_K,
                                   GGML_TYPE_Q4_K,  GGML_TYPE_Q5_K,  GGML_TYPE_Q6_K, GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS,
                                   GGML_TYPE_TQ1_0, GGML_TYPE_TQ2_0, GGML_TYPE_MXFP4 };

// Of those that ggml's converters unpack, the ones that can be made without an importance matrix.
const ggml_type converted_types[] = { GGML_TYPE_IQ2_S, GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ3_S };

// A LoRA part: a matrix M f32 (B [r,N] or A [K,r]) and h [r,T].
struct Part {
    TensorPtr M, h;
};

std::vector<Part> parts(ggml_type type, bool up, int64_t n, int64_t T, const std::vector<int64_t> & ranks) {
    std::vector<Part> out;
    out.reserve(ranks.size());
    for (int64_t r : ranks) {
        out.push_back({ up ? random(r, n) : random(n, r), random_packed(type, r, T, 1, 1) });
    }
    return out;
}

std::string name_of(ggml_type w, ggml_type type, int64_t K, int64_t N, int64_t T, size_t n_parts) {
    return std::string(ggml_type_name(w)) + " x " + ggml_type_name(type) + " " + std::to_string(K) + "x" +
           std::to_string(N) + "x" + std::to_string(T) + " parts " + std::to_string(n_parts);
}

void linear_case(ggml_type w_type, ggml_type type, int64_t K, int64_t N, int64_t T,
                 const std::vector<int64_t> & ranks) {
    const TensorPtr           W = weight(w_type, K, N), x = random_packed(type, K, T, 1, 3);
    const std::vector<Part>   lora = parts(type, true, N, T, ranks);
    const std::vector<double> w = rounded(values(W), type), xv = values(x);
    std::vector<double>       want(N * T);
    std::vector<TensorPtr>    src = { W, x };
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * N + n] += w[n * K + k] * xv[t * K + k];
            }
        }
    }
    for (const Part & part : lora) {
        const std::vector<double> B = rounded(values(part.M), type), h = values(part.h);
        const int64_t             r = part.h->ne0();
        src.insert(src.end(), { part.M, part.h });
        for (int64_t t = 0; t < T; t++) {
            for (int64_t n = 0; n < N; n++) {
                for (int64_t j = 0; j < r; j++) {
                    want[t * N + n] += B[n * r + j] * h[t * r + j];
                }
            }
        }
    }
    compare({ "linear", steer_cuda_linear, empty(GGML_TYPE_F32, N, T, 5), src, {} },
            name_of(w_type, type, K, N, T, lora.size()), want, 1e-5, type == GGML_TYPE_BF16 ? 2e-2 : 2e-5);
    if (type == GGML_TYPE_BF16) { // rounded after every part
        compare({ "linear", steer_cuda_linear, empty(type, N, T, 5), src, {} },
                name_of(w_type, type, K, N, T, lora.size()) + " to bf16", want, 2e-2, 3e-2);
    }
}

void back_case(ggml_type w_type, ggml_type type, int64_t K, int64_t N, int64_t T, const std::vector<int64_t> & ranks,
               bool accumulate) {
    const TensorPtr           W = weight(w_type, K, N), dy = random_packed(type, N, T, 1, 2), dx = random(K, T, 1, 1);
    const std::vector<Part>   lora = parts(type, false, K, T, ranks);
    const std::vector<double> w = rounded(values(W), type), dv = values(dy);
    std::vector<double>       want = accumulate ? values(dx) : std::vector<double>(K * T);
    std::vector<TensorPtr>    src = { W, dy };
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            for (int64_t k = 0; k < K; k++) {
                want[t * K + k] += w[n * K + k] * dv[t * N + n];
            }
        }
    }
    for (const Part & part : lora) {
        const std::vector<double> A = rounded(values(part.M), type), dh = values(part.h);
        const int64_t             r = part.h->ne0();
        src.insert(src.end(), { part.M, part.h });
        for (int64_t t = 0; t < T; t++) {
            for (int64_t j = 0; j < r; j++) {
                for (int64_t k = 0; k < K; k++) {
                    want[t * K + k] += A[j * K + k] * dh[t * r + j];
                }
            }
        }
    }
    Params p;
    p.i[0] = accumulate;
    compare({ "linear_back", steer_cuda_linear_back, dx, src, p, accumulate },
            name_of(w_type, type, K, N, T, lora.size()), want, 1e-5, type == GGML_TYPE_BF16 ? 2e-2 : 2e-5);
}

// Every bit of unpacking: W times the identity.
void unpack_case(ggml_type w_type) {
    const int64_t   K = ggml_blck_size(w_type) == 256 ? 512 : 64, N = 3;
    const TensorPtr W = weight(w_type, K, N), one = zeros(N, N), back = empty(GGML_TYPE_F32, K, N);
    for (int64_t n = 0; n < N; n++) {
        one->f32(n)[n] = 1;
    }
    run_cuda("linear_back", steer_cuda_linear_back, back, { W, one }, {}, false);
    check(std::string("unpacked ") + ggml_type_name(w_type), values(back), values(W), 1e-7);
}

// Rows of host memory, at once and in parts.
void rows_case(ggml_type type, int64_t K, double scale) {
    const int64_t   N = 11;
    const TensorPtr W = weight(type, K, N, scale), dst = empty(GGML_TYPE_F32, K, N);
    for (const size_t limit : { device().limits.weight_bytes, 3 * ggml_row_size(type, K), (size_t) 1 }) {
        const steer_cuda_limits before = device().limits;
        device().limits.weight_bytes   = limit;
        std::memset(dst->bytes().data(), 0xFF, dst->bytes().size());
        steer_cuda_unpack_rows(type, W->bytes().data(), K, N, dst->f32(0), device());
        device().limits = before;
        check(std::string("rows of ") + ggml_type_name(type), values(dst), values(W), 1e-7);
        expect("rows: scratch memory given back", device().pool_bytes() == 0 && device().in_order);
    }
}

} // namespace

void test_cuda_linear() {
    const steer_cuda_limits whole = device().limits;
    for (ggml_type w : weight_types) {
        const int64_t K = ggml_blck_size(w) == 256 ? 512 : ggml_blck_size(w) == 1 ? 75 : 96;
        unpack_case(w);
        rows_case(w, K, 1);
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_BF16 }) {
            device().limits.weight_bytes = whole.weight_bytes;
            linear_case(w, type, K, 37, 9, {});
            back_case(w, type, K, 34, 5, {}, false);
            device().limits.weight_bytes = (size_t) K * 14; // several chunks
            linear_case(w, type, K, 37, 3, { 4 });
            back_case(w, type, K, 37, 3, { 3 }, true);
        }
    }
    device().limits = whole;
    for (ggml_type w : converted_types) {
        unpack_case(w);
        rows_case(w, 512, 1);
    }
    rows_case(GGML_TYPE_MXFP4, 64, 2e-38); // the least scales
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_BF16 }) {
        linear_case(GGML_TYPE_Q8_0, type, 64, 33, 1, { 16 });
        linear_case(GGML_TYPE_Q4_1, type, 64, 8, 5, { 1, 3, 16, 40 });
        back_case(GGML_TYPE_Q8_0, type, 64, 33, 1, { 16, 8, 3 }, true);
        back_case(GGML_TYPE_Q4_K, type, 256, 8, 5, { 4 }, false);
    }
}

} // namespace test
