// outer_acc: G += drop(u) v^T, the gradient of a LoRA matrix.
//   G[i,j] += sum_t drop(u)[i,t] v[j,t]
//   dst = src0 G [M,J] in place; src1 u [M,T], src2 v [J,T], f32 or bf16, src3 seeds I32 [2,T]
//   (u = x, v = dh gives dA; u = h, v = dy gives dB)
//
// A unit is one panel of 32 i and a chunk of j, over all tokens in order.

#include "linear.h"
#include "lora.h"

#include <algorithm>

using namespace steer;

namespace {

constexpr int64_t J_CHUNK = 112; // 8 tiles of 14 rows
constexpr int64_t TOKENS  = 64;  // both copies stay in the first-level cache; even
constexpr int64_t PAIRS   = TOKENS / 2;

// One unit: columns [i0, i0 + lanes) of G, rows [j0, j0 + nj).
struct Unit {
    ggml_tensor *       G;
    const ggml_tensor * u;
    const ggml_tensor * v;
    int64_t             i0, j0, nj;
    int                 lanes;

    float * out() const { return row_f32(G, j0) + i0; }
};

// Items of two tokens' elements from `from` on: x[t] | x[t+1] << 16; a token behind the last is 0.
void pair_tokens(const ggml_tensor * x, int64_t t, int64_t from, int64_t n, uint32_t * items) {
    static const uint16_t none[J_CHUNK > PANEL ? J_CHUNK : PANEL] = {};
    const uint16_t *      a = (const uint16_t *) row_ptr(x, t) + from;
    kernels().interleave(a, t + 1 < x->ne[1] ? (const uint16_t *) row_ptr(x, t + 1) + from : none, items, n);
}

void unit_bf16(const Unit & w) {
    const int  width = panel_width(w.lanes);
    uint32_t * pu    = scratch().get<uint32_t>(SLOT_PANEL, PAIRS * PANEL);
    uint32_t * pv    = scratch().get<uint32_t>(SLOT_A, PAIRS * J_CHUNK); // [pair][j]
    uint32_t * pt    = scratch().get<uint32_t>(SLOT_B, PAIRS * J_CHUNK); // [j][pair]
    for (int64_t t = 0, T = w.u->ne[1]; t < T; t += TOKENS) {
        const int64_t pairs = (std::min(TOKENS, T - t) + 1) / 2;
        for (int64_t i = 0; i < pairs; i++) {
            pair_tokens(w.u, t + 2 * i, w.i0, w.lanes, pu + i * width);
            std::memset(pu + i * width + w.lanes, 0, (width - w.lanes) * sizeof(uint32_t));
            pair_tokens(w.v, t + 2 * i, w.j0, w.nj, pv + i * w.nj);
        }
        kernels().transpose32(pv, w.nj, (int) pairs, (int) w.nj, pt, PAIRS);
        kernels().gemm_bf16((int) w.nj, w.lanes, (int) pairs, (const uint16_t *) pt, TOKENS, pu, width, w.out(),
                            row_stride(w.G), true);
    }
}

// Rows [t, t + n) of x, elements [from, from + cols), as f32 rows of `width`.
void copy_rows(const ggml_tensor * x, int64_t t, int64_t n, int64_t from, int cols, float * dst, int width) {
    if (!is_bf16(x)) {
        kernels().copy_padded(row_f32(x, t) + from, row_stride(x), n, cols, dst, width);
        return;
    }
    for (int64_t i = 0; i < n; i++, dst += width) {
        kernels().from_bf16((const uint16_t *) row_ptr(x, t + i) + from, dst, cols);
        std::memset(dst + cols, 0, (width - cols) * sizeof(float));
    }
}

void unit_f32(const Unit & w, const Dropout & drop) {
    const int width = panel_width(w.lanes);
    float *   pu    = scratch().get<float>(SLOT_PANEL, TOKENS * PANEL);
    float *   pv    = scratch().get<float>(SLOT_A, TOKENS * J_CHUNK);
    for (int64_t t = 0, T = w.u->ne[1]; t < T; t += TOKENS) {
        const int64_t n = std::min(TOKENS, T - t);
        copy_rows(w.u, t, n, w.i0, w.lanes, pu, width);
        for (int64_t i = 0; i < n && drop.on(); i++) {
            drop.apply(t + i, w.i0, pu + i * width, pu + i * width, w.lanes, false);
        }
        copy_rows(w.v, t, n, w.j0, (int) w.nj, pv, (int) w.nj);
        kernels().gemm_f32((int) w.nj, w.lanes, (int) n, pv, 1, w.nj, pu, width, w.out(), row_stride(w.G), true);
    }
}

} // namespace

extern "C" void steer_cpu_outer_acc(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * u = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    const int64_t       M = u->ne[0], J = v->ne[0], T = u->ne[1];
    check_activation(u, M, T);
    check_activation(v, J, T);
    check_f32(dst, M, J);
    const Dropout drop(dst->src[3], params_of(dst), T, 0, T);
    const bool    bf16     = is_bf16(u) && is_bf16(v) && !drop.on() && kernels().gemm_bf16;
    const int64_t i_panels = (M + PANEL - 1) / PANEL;
    const int64_t j_chunks = (J + J_CHUNK - 1) / J_CHUNK;
    const Share   share(i_panels * j_chunks, ith, nth);
    for (int64_t unit = share.begin; unit < share.end; unit++) {
        const int64_t i0 = unit / j_chunks * PANEL, j0 = unit % j_chunks * J_CHUNK;
        const Unit    w{ dst, u, v, i0, j0, std::min(J_CHUNK, J - j0), (int) std::min<int64_t>(PANEL, M - i0) };
        if (bf16) {
            unit_bf16(w);
        } else {
            unit_f32(w, drop);
        }
    }
}
