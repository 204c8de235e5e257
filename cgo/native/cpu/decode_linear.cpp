// decode_linear: y[n,t] = sum_k W[k,n] x[k,t] + sum_l sum_j B_l[j,n] h_l[j,t] + residual[n,t]
//
// Weights are unpacked row by row and stay rows: no transposing, which would cost more than
// the product for a few dozen tokens. Few tokens take one dot product each; more are the
// lanes of a panel against which the rows of W run, and the tile comes out transposed.
// Pieces of 48 rows of W are taken from a common counter, so that a thread that lost its CPU
// holds up nobody; what is computed does not depend on who computes it.

#include "decode.h"
#include "weights.h"

#include "ggml-cpu.h"

#include <algorithm>

namespace steer {

namespace {

constexpr int64_t PIECE_ROWS = 48; // rows of W a piece: four tiles of twelve, whole cache lines of y

// Most tokens for which a dot product each is faster than panels of them (measured).
constexpr int64_t MAX_DOTS = 16;

// Most tokens for which blocks are not unpacked at all: reading the weights is what takes
// time then (measured).
constexpr int64_t MAX_Q8_DOTS = 4;

// The same by ggml's dot product, for the types that dots_q8 does not know.
constexpr int64_t MAX_GGML_DOTS = 2;

} // namespace

DecodeFeed decode_feed(ggml_type type, int64_t depth, int64_t T, bool exact) {
    const bool few = T <= MAX_DOTS;
    if (exact || (kernels().gemm_bf16 == nullptr && !ggml_is_quantized(type))) {
        return few ? DecodeFeed::F32_DOTS : DecodeFeed::F32_PANELS;
    }
    if (kernels().gemm_bf16 == nullptr) {
        return few && ggml_get_type_traits_cpu(type)->vec_dot ? DecodeFeed::GGML_DOTS : DecodeFeed::F32_PANELS;
    }
    if (T <= MAX_Q8_DOTS && kernels().dots_q8(type, 0, depth, nullptr, 0, 0, nullptr, 0, nullptr, 0)) {
        return DecodeFeed::Q8_DOTS;
    }
    if (T <= MAX_GGML_DOTS && ggml_is_quantized(type) && ggml_get_type_traits_cpu(type)->vec_dot) {
        return DecodeFeed::GGML_DOTS;
    }
    return few ? DecodeFeed::BF16_DOTS : depth % 2 == 0 ? DecodeFeed::BF16_PANELS : DecodeFeed::F32_PANELS;
}

namespace {

// Rows [n, n+rows) of a part's weights as items of the feed: W, or B with rows made even.
const void * unpacked(const DecodeLinear & l, const ggml_tensor * W, int64_t n, int64_t rows, int64_t items) {
    const DecodeInput & in = *l.input;
    const int64_t       K  = W->ne[0];
    char *              to = scratch().get<char>(SLOT_ROWS, rows * items * sizeof(float));
    if (W->type == GGML_TYPE_F32 && items == K && !in.bf16() && W->nb[1] == K * sizeof(float)) {
        return weight_ptr(W, n, 0);
    }
    if (items == K && (W->nb[1] == ggml_row_size(W->type, K))) { // rows without gaps: one call
        if (in.bf16()) {
            unpack_row_bf16(W->type, weight_ptr(W, n, 0), (uint16_t *) to, rows * K);
        } else {
            unpack_row_f32(W->type, weight_ptr(W, n, 0), (float *) to, rows * K);
        }
        return to;
    }
    for (int64_t i = 0; i < rows; i++) {
        char * row = to + i * items * (in.bf16() ? 2 : 4);
        if (in.bf16()) {
            unpack_row_bf16(W->type, weight_ptr(W, n + i, 0), (uint16_t *) row, K);
            std::fill((uint16_t *) row + K, (uint16_t *) row + items, (uint16_t) 0);
        } else {
            unpack_row_f32(W->type, weight_ptr(W, n + i, 0), (float *) row, K);
            std::fill((float *) row + K, (float *) row + items, 0.0f);
        }
    }
    return to;
}

// y[t][0..rows) (+)= rows of W against part `part` of the input, one dot product a token.
void dots(const DecodeLinear & l, const ggml_tensor * W, int part, const char * in, int64_t n, int64_t rows, float * y,
          ptrdiff_t ldy, bool accumulate) {
    const DecodeInput & a     = *l.input;
    const int64_t       items = a.items(part);
    const char *        x     = in + a.offset(part, 0);
    if (a.feed == DecodeFeed::GGML_DOTS && part < 0) {
        const auto   dot  = ggml_get_type_traits_cpu(W->type)->vec_dot;
        const size_t step = ggml_row_size(a.type, a.K);
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t t = 0; t < a.T; t++) {
                dot((int) a.K, y + t * ldy + i, 0, weight_ptr(W, n + i, 0), 0, x + t * step, 0, 1);
            }
        }
        return;
    }
    if (a.feed == DecodeFeed::Q8_DOTS && part < 0) {
        kernels().dots_q8(W->type, (int) rows, a.K, weight_ptr(W, n, 0), W->nb[1], (int) a.T, (const int8_t *) x,
                          (ptrdiff_t) (a.offset(part, 1) - a.offset(part, 0)), y, ldy);
        return;
    }
    const void * w = unpacked(l, W, n, rows, items);
    if (a.bf16()) {
        kernels().dots_bf16((int) rows, items, (const uint16_t *) w, items, (int) a.T, (const uint16_t *) x, items, y, ldy, accumulate);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t t = 0; t < a.T; t++) {
            const float d  = kernels().dot((const float *) w + i * items, (const float *) x + t * items, (int) items);
            float *     to = y + t * ldy + i;
            *to            = accumulate ? *to + d : d;
        }
    }
}

// tile[row][lane] (+)= rows of W against part `part` of block b of the input.
void panel(const DecodeInput & a, int part, const char * in, int64_t b, int lanes, const void * w, int64_t rows, float * tile,
           bool accumulate) {
    const int64_t items = a.items(part);
    const char *  x     = in + a.offset(part, b);
    const int     width = panel_width(lanes);
    if (a.bf16()) {
        kernels().gemm_bf16((int) rows, lanes, (int) items / 2, (const uint16_t *) w, items, (const uint32_t *) x, width, tile,
                            PANEL, accumulate);
    } else {
        kernels().gemm_f32((int) rows, lanes, (int) items, (const float *) w, items, 1, (const float *) x, width, tile, PANEL,
                           accumulate);
    }
}

void add_residual(const ggml_tensor * res, int64_t n, int64_t rows, int64_t t0, int64_t t1, ggml_tensor * dst) {
    for (int64_t t = t0; t < t1; t++) {
        kernels().axpy(row_f32(dst, t) + n, row_f32(res, t) + n, (int) rows, 1.0f);
    }
}

// Rows [n, n+rows) of y for all tokens.
void piece(const DecodeLinear & l, ggml_tensor * dst, int64_t n, int64_t rows) {
    const DecodeInput & a  = *l.input;
    const char *        in = (const char *) dst->src[0]->data;
    if (!a.panels()) {
        dots(l, l.W, -1, in, n, rows, row_f32(dst, 0) + n, row_stride(dst), false);
        for (const DecodeUp & u : l.ups) {
            dots(l, u.B, u.part, in, n, rows, row_f32(dst, 0) + n, row_stride(dst), true);
        }
    } else {
        float *       tiles  = scratch().get<float>(SLOT_C, PIECE_ROWS * PANEL * ((a.T + PANEL - 1) / PANEL));
        const int64_t blocks = (a.T + PANEL - 1) / PANEL;
        for (int part = -1; part < (int) l.ups.size(); part++) {
            const ggml_tensor * W  = part < 0 ? l.W : l.ups[part].B;
            const int           at = part < 0 ? -1 : l.ups[part].part;
            const void *        w  = unpacked(l, W, n, rows, a.items(at));
            for (int64_t b = 0; b < blocks; b++) {
                panel(a, at, in, b, (int) std::min<int64_t>(PANEL, a.T - b * PANEL), w, rows, tiles + b * PIECE_ROWS * PANEL, part >= 0);
            }
        }
        for (int64_t b = 0; b < blocks; b++) {
            const int lanes = (int) std::min<int64_t>(PANEL, a.T - b * PANEL);
            kernels().transpose32((const uint32_t *) tiles + b * PIECE_ROWS * PANEL, PANEL, (int) rows, lanes,
                                  (uint32_t *) (row_f32(dst, b * PANEL) + n), row_stride(dst));
        }
    }
    if (l.residual) {
        add_residual(dst->src[1], n, rows, 0, a.T, dst);
    }
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_decode_linear(ggml_tensor * dst, int, int, void * linear) {
    DecodeLinear & l = *(DecodeLinear *) linear;
    const int64_t  N = l.W->ne[1];
    check_f32(dst, N, l.input->T);
    for (;;) {
        const int64_t n = PIECE_ROWS * l.next.fetch_add(1, std::memory_order_relaxed);
        if (n >= N) {
            return;
        }
        piece(l, dst, n, std::min(PIECE_ROWS, N - n));
    }
}
