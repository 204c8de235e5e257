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

// Depth unpacked at a time for panels: the rows of a piece stay in the second-level cache.
// A multiple of every block.
constexpr int64_t DEPTH = 2048;

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

// Items [k, k+depth) of rows [n, n+rows) of a part's weights, in the feed's type, depth
// apart: W, or B with its rows filled up with zeros.
const void * unpacked(const DecodeLinear & l, const ggml_tensor * W, int64_t n, int64_t rows, int64_t k, int64_t depth) {
    const bool    bf16 = l.input->bf16();
    const int64_t K    = W->ne[0];
    if (W->type == GGML_TYPE_F32 && depth == K && !bf16 && W->nb[1] == K * sizeof(float)) {
        return weight_ptr(W, n, 0);
    }
    const bool    whole = depth == K && W->nb[1] == ggml_row_size(W->type, K); // rows without gaps: one call
    const int64_t calls = whole ? 1 : rows, items = whole ? rows * K : std::min(depth, K - k);
    char *        to    = scratch().get<char>(SLOT_ROWS, rows * depth * sizeof(float));
    for (int64_t i = 0; i < calls; i++) {
        char * row = to + i * depth * (bf16 ? sizeof(uint16_t) : sizeof(float));
        if (bf16) {
            unpack_row_bf16(W->type, weight_ptr(W, n + i, k), (uint16_t *) row, items);
        } else {
            unpack_row_f32(W->type, weight_ptr(W, n + i, k), (float *) row, items);
        }
        if (!whole && items < depth) {
            bf16 ? std::fill((uint16_t *) row + items, (uint16_t *) row + depth, (uint16_t) 0) :
                   std::fill((float *) row + items, (float *) row + depth, 0.0f);
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
    const void * w = unpacked(l, W, n, rows, 0, items);
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

// tile[row][lane] (+)= depth items from k on of the rows w against block b of an input's part.
void panel(const DecodeInput & a, int part, const char * in, int64_t b, const void * w, int64_t rows, int64_t k, int64_t depth,
           float * tile, bool accumulate) {
    const int    lanes = (int) std::min<int64_t>(PANEL, a.T - b * PANEL), width = panel_width(lanes);
    const char * x     = in + a.offset(part, b) + k * width * (a.bf16() ? sizeof(uint16_t) : sizeof(float));
    if (a.bf16()) {
        kernels().gemm_bf16((int) rows, lanes, (int) depth / 2, (const uint16_t *) w, depth, (const uint32_t *) x, width, tile,
                            PANEL, accumulate);
    } else {
        kernels().gemm_f32((int) rows, lanes, (int) depth, (const float *) w, depth, 1, (const float *) x, width, tile, PANEL,
                           accumulate);
    }
}

// Rows [n, n+rows) of y for all tokens, by panels.
void panels(const DecodeLinear & l, ggml_tensor * dst, const char * in, int64_t n, int64_t rows) {
    const DecodeInput & a      = *l.input;
    const int64_t       blocks = (a.T + PANEL - 1) / PANEL;
    float *             tiles  = scratch().get<float>(SLOT_C, PIECE_ROWS * PANEL * blocks);
    for (int p = -1; p < (int) l.ups.size(); p++) {
        const ggml_tensor * W     = p < 0 ? l.W : l.ups[p].B;
        const int           part  = p < 0 ? -1 : l.ups[p].part;
        const int64_t       items = a.items(part);
        for (int64_t k = 0; k < items; k += DEPTH) {
            const int64_t depth = std::min(DEPTH, items - k);
            const void *  w     = unpacked(l, W, n, rows, k, depth);
            for (int64_t b = 0; b < blocks; b++) {
                panel(a, part, in, b, w, rows, k, depth, tiles + b * PIECE_ROWS * PANEL, p >= 0 || k > 0);
            }
        }
    }
    for (int64_t b = 0; b < blocks; b++) {
        kernels().transpose32((const uint32_t *) tiles + b * PIECE_ROWS * PANEL, PANEL, (int) rows,
                              (int) std::min<int64_t>(PANEL, a.T - b * PANEL), (uint32_t *) (row_f32(dst, b * PANEL) + n),
                              row_stride(dst));
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
        panels(l, dst, in, n, rows);
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
