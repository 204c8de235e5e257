// decode_linear: y[n,t] = residual[n,t] + sum_k W[k,n] x[k,t] + sum_l sum_j B_l[j,n] h_l[j,t]
//
// Weights are unpacked row by row and stay rows, against which the tokens run as dot products:
// no transposing, and an element's sum has one order however many tokens there are.
// Pieces of W are taken from a common counter, so that a thread that lost its CPU holds up
// nobody; what is computed does not depend on who computes it.

#include "decode.h"
#include "weights.h"

#include <algorithm>

namespace steer {

namespace {

constexpr int64_t PIECE_ROWS = 48; // rows of W a piece: whole cache lines of y

// Rows unpacked at a time for few tokens, so that they are read from the first-level cache: as
// much work as reading them then. More tokens read the rows more often.
constexpr int64_t FEW_TOKENS = 4, FEW_ROWS = 4;

// Depth summed at a time: the rows of a piece stay in the second-level cache. It is part of the
// arithmetic, since the sums of each depth are added to those before. A multiple of every block.
constexpr int64_t DEPTH = 2048;

// Tokens against which a piece runs while they lie in the second-level cache.
constexpr int64_t TOKENS = 64;

// The LoRA products of a layer; a session has at most two adapters.
constexpr int MOST_UPS = 4;

// Numbers [k, k+depth) of rows [n, n+rows) of W as a product's rows: where they lie, or unpacked into `to`.
DotTerm rows_of(const ggml_tensor * W, bool bf16, int64_t n, int64_t rows, int64_t k, int64_t depth, char * to) {
    DotTerm t = {};
    t.depth   = depth;
    if (W->type == (bf16 ? GGML_TYPE_BF16 : GGML_TYPE_F32)) {
        t.w   = weight_ptr(W, n, k);
        t.ldw = row_stride(W);
        return t;
    }
    t.w                = to;
    t.ldw              = decode_stride(depth, bf16);
    const size_t bytes = t.ldw * (bf16 ? sizeof(uint16_t) : sizeof(float));
    for (int64_t i = 0; i < rows; i++, to += bytes) {
        if (bf16) {
            unpack_row_bf16(W->type, weight_ptr(W, n + i, k), (uint16_t *) to, depth);
        } else {
            unpack_row_f32(W->type, weight_ptr(W, n + i, k), (float *) to, depth);
        }
    }
    return t;
}

// Rows [n, n+rows) of y for all tokens.
void rows_of_y(const DecodeLinear & l, ggml_tensor * dst, int64_t n, int64_t rows) {
    const DecodeInput & in = *l.input;
    const char *        x  = (const char *) dst->src[0]->data;
    const int           n_ups = (int) l.ups.size();
    GGML_ASSERT(n_ups <= MOST_UPS);
    int64_t of_b = 0; // numbers of a row of every B
    for (const DecodeUp & u : l.ups) {
        of_b += in.stride(u.part);
    }
    char * w = scratch().get<char>(SLOT_ROWS, rows * decode_stride(std::min(DEPTH, in.K), in.bf16) * in.item_bytes());
    char * b = scratch().get<char>(SLOT_LORA_ROWS, rows * of_b * in.item_bytes());
    for (int64_t k = 0; k < in.K; k += DEPTH) {
        const int64_t depth = std::min(DEPTH, in.K - k);
        DotTerm       terms[1 + MOST_UPS];
        int           n_terms = 0;
        terms[n_terms++]      = rows_of(l.W, in.bf16, n, rows, k, depth, w);
        for (int u = 0; u < n_ups && k + depth == in.K; u++) {
            const DecodeUp & up = l.ups[u];
            terms[n_terms++]    = rows_of(up.B, in.bf16, n, rows, 0, in.items(up.part), b);
            b += rows * in.stride(up.part) * in.item_bytes();
        }
        for (int64_t t0 = 0; t0 < in.T; t0 += TOKENS) {
            for (int i = 0; i < n_terms; i++) {
                const int part = i == 0 ? -1 : l.ups[i - 1].part;
                terms[i].x     = x + in.offset(part, t0) + (i == 0 ? k * in.item_bytes() : 0);
                terms[i].ldx   = in.stride(part);
            }
            const ggml_tensor * from = k > 0 ? dst : l.residual ? dst->src[1] : nullptr;
            const bool every = from && from->ne[1] == 1; // one row, a bias, for every token
            decode_dots(in.bf16, rows, std::min(TOKENS, in.T - t0), terms, n_terms,
                        from ? row_f32(from, every ? 0 : t0) + n : nullptr, from && !every ? row_stride(from) : 0,
                        row_f32(dst, t0) + n, row_stride(dst));
        }
    }
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_decode_linear(ggml_tensor * dst, int, int, void * linear) {
    DecodeLinear & l = *(DecodeLinear *) linear;
    const int64_t  N = l.W->ne[1], step = l.input->T <= FEW_TOKENS ? FEW_ROWS : PIECE_ROWS;
    check_f32(dst, N, l.input->T);
    for (;;) {
        const int64_t n = PIECE_ROWS * l.next.fetch_add(1, std::memory_order_relaxed);
        if (n >= N) {
            return;
        }
        for (int64_t end = std::min(N, n + PIECE_ROWS), from = n; from < end; from += step) {
            rows_of_y(l, dst, from, std::min(step, end - from));
        }
    }
}
