// decode_input: what some linear layers read, prepared once.
//   x = src0, or w ∘ src0 / sqrt(mean(src0²) + eps), or silu(src0) ∘ src1, or gelu(src0) ∘ src1
//   h_l[j,t] = scale_l sum_k A_l[k,j] x[k,t]
//
// Threads own tokens. When there are few of them, every thread prepares all of x for itself and
// computes some of the rows of h, so that nobody waits.

#include "decode.h"

#include <algorithm>

namespace steer {

int64_t decode_stride(int64_t n, bool bf16) {
    const int64_t line = bf16 ? 32 : 16; // numbers
    return ((n + line - 1) / line | 1) * line;
}

bool decode_bf16(bool exact) {
    return !exact && kernels().dots_bf16 != nullptr;
}

void decode_dots(bool bf16, int64_t N, int64_t T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf,
                 float * y, ptrdiff_t ldy) {
    (bf16 ? kernels().dots_bf16 : kernels().dots_f32)((int) N, (int) T, terms, n_terms, from, ldf, y, ldy);
}

int64_t DecodeInput::stride(int part) const {
    return decode_stride(items(part), bf16);
}

size_t DecodeInput::offset(int part, int64_t t) const {
    int64_t at = 0;
    for (int p = -1; p < part; p++) {
        at += T * stride(p);
    }
    return (at + t * stride(part)) * item_bytes();
}

size_t DecodeInput::bytes() const {
    const int last = (int) downs.size() - 1;
    return offset(last, T);
}

namespace {

// Tokens a thread, below which threads share the rows of h instead (measured).
constexpr int64_t OWN_TOKENS = 16;

// Token t's activations as numbers of the product.
void put_row(const DecodeInput & in, const ggml_tensor * dst, int64_t t, char * to) {
    const float * x   = row_f32(dst->src[0], t);
    float *       own = in.bf16 ? scratch().get<float>(SLOT_D, in.K) : (float *) to;
    switch (in.kind) {
        case DecodeInput::NORM: kernels().rms_norm(x, (const float *) in.w->data, own, (int) in.K, in.eps); break;
        case DecodeInput::SWIGLU: kernels().swiglu(x, row_f32(dst->src[1], t), own, (int) in.K); break;
        case DecodeInput::GEGLU: kernels().geglu(x, row_f32(dst->src[1], t), own, (int) in.K); break;
        default:
            if (!in.bf16) {
                std::memcpy(to, x, in.K * sizeof(float));
            }
    }
    if (in.bf16) {
        kernels().to_bf16(in.kind == DecodeInput::PLAIN ? x : own, (uint16_t *) to, in.K);
    }
}

// Rows [j0, j1) of h of one product for tokens [t0, t1), whose x are rows of the part's stride.
void put_h(const DecodeInput & in, int part, const char * x, int64_t j0, int64_t j1, int64_t t0, int64_t t1,
           char * out) {
    const DecodeDown & d = in.downs[part];
    const int64_t      n = j1 - j0, K = in.K;
    DotTerm            term = { row_f32(d.A, j0), row_stride(d.A), x, in.stride(-1), K };
    if (in.bf16) {
        const int64_t ld = in.stride(-1);
        uint16_t *    a  = scratch().get<uint16_t>(SLOT_A, n * ld);
        for (int64_t j = 0; j < n; j++) {
            kernels().to_bf16(row_f32(d.A, j0 + j), a + j * ld, K);
        }
        term.w   = a;
        term.ldw = ld;
    }
    float * h = scratch().get<float>(SLOT_B, n * (t1 - t0));
    decode_dots(in.bf16, n, t1 - t0, &term, 1, nullptr, 0, h, n);
    kernels().scale(h, (int) (n * (t1 - t0)), d.scale);
    for (int64_t t = t0; t < t1; t++, h += n) {
        char * to = out + in.offset(part, t) + j0 * in.item_bytes();
        if (in.bf16) {
            kernels().to_bf16(h, (uint16_t *) to, n);
        } else {
            std::memcpy(to, h, n * sizeof(float));
        }
    }
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_decode_input(ggml_tensor * dst, int ith, int nth, void * input) {
    const DecodeInput & in = *(const DecodeInput *) input;
    check_f32(dst->src[0], in.K, in.T);
    char *       out = (char *) dst->data;
    const bool   few = in.T < OWN_TOKENS * nth;
    const size_t row = in.stride(-1) * in.item_bytes();
    const Share  own(in.T, few ? 0 : ith, few ? 1 : nth);
    char *       x = few && ith > 0 ? scratch().get<char>(SLOT_E, in.T * row) : out + own.begin * row;
    for (int64_t t = own.begin; t < own.end; t++) {
        put_row(in, dst, t, x + (t - own.begin) * row);
    }
    for (int p = 0; p < (int) in.downs.size(); p++) {
        const Share j(in.items(p), few ? ith : 0, few ? nth : 1);
        if (j.begin < j.end && own.begin < own.end) {
            put_h(in, p, x, j.begin, j.end, own.begin, own.end, out);
        }
    }
}
