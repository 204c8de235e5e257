// decode_input: what some linear layers read, prepared once.
//   x = src0, or w ∘ src0 / sqrt(mean(src0²) + eps), or silu(src0) ∘ src1
//   h_l[j,t] = scale_l sum_k A_l[k,j] x[k,t]
//
// Threads own blocks of 32 tokens. When there are fewer blocks than threads, every thread
// packs all of x for itself and computes some of the rows of h, so that nobody waits.

#include "decode.h"
#include "weights.h"

#include "ggml-cpu.h"

#include <algorithm>

namespace steer {

namespace {

constexpr size_t ALIGN = 64;

size_t aligned(size_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

size_t item_bytes(const DecodeInput & in) {
    return in.bf16() ? 2 : 4;
}

// Bytes of one token's row of a part.
size_t row_bytes(const DecodeInput & in, int part) {
    if (part < 0 && in.feed == DecodeFeed::GGML_DOTS) {
        return ggml_row_size(in.type, in.K);
    }
    if (part < 0 && in.feed == DecodeFeed::Q8_DOTS) {
        return (in.K + 63) / 64 * 64 * 3; // quantize_q8
    }
    return in.items(part) * item_bytes(in);
}

} // namespace

int64_t DecodeInput::items(int part) const {
    if (part < 0) {
        return K;
    }
    const int64_t r = downs[part].A->ne[1];
    return bf16() ? (r + 1) / 2 * 2 : r;
}

size_t DecodeInput::offset(int part, int64_t t) const {
    size_t at = 0;
    if (!panels()) {
        for (int p = -1; p < part; p++) {
            at += aligned(T * row_bytes(*this, p));
        }
        return at + t * row_bytes(*this, part);
    }
    size_t whole = 0, before = 0; // of a block of 32 lanes
    for (int p = -1; p < (int) downs.size(); p++) {
        whole += aligned(PANEL * row_bytes(*this, p));
    }
    const int width = panel_width((int) std::min<int64_t>(PANEL, T - t * PANEL));
    for (int p = -1; p < part; p++) {
        before += aligned(width * row_bytes(*this, p));
    }
    return t * whole + before;
}

size_t DecodeInput::bytes() const {
    const int parts = (int) downs.size();
    if (!panels()) {
        size_t n = 0;
        for (int p = -1; p < parts; p++) {
            n += aligned(T * row_bytes(*this, p));
        }
        return n;
    }
    return offset(-1, (T + PANEL - 1) / PANEL - 1) + offset(-1, 1) + ALIGN;
}

namespace {

// Token t's activations in f32, in `own` unless they lie ready.
const float * row_of(const DecodeInput & in, const ggml_tensor * dst, int64_t t, float * own) {
    const float * x = row_f32(dst->src[0], t);
    switch (in.kind) {
        case DecodeInput::NORM: kernels().rms_norm(x, (const float *) in.w->data, own, (int) in.K, in.eps); return own;
        case DecodeInput::SWIGLU: kernels().swiglu(x, row_f32(dst->src[1], t), own, (int) in.K); return own;
        default: return x;
    }
}

// Rows [j0, j1) of A as items of the feed, and of h's type.
const void * rows_of_a(const DecodeInput & in, const ggml_tensor * A, int64_t j0, int64_t j1) {
    const int64_t K = A->ne[0];
    if (!in.bf16()) {
        return row_f32(A, j0);
    }
    uint16_t * a = scratch().get<uint16_t>(SLOT_A, (j1 - j0) * K);
    kernels().to_bf16(row_f32(A, j0), a, (j1 - j0) * K);
    return a;
}

// Stores scale * f[i] as an item.
void put(const DecodeInput & in, char * to, int64_t i, float f) {
    if (in.bf16()) {
        kernels().to_bf16(&f, (uint16_t *) to + i, 1);
    } else {
        ((float *) to)[i] = f;
    }
}

// Dots: rows [j0, j1) of h of one product for all tokens; x is packed as in `in`.
void h_dots(const DecodeInput & in, int part, const char * x, int64_t j0, int64_t j1, char * out) {
    const DecodeDown & d     = in.downs[part];
    const int64_t      items = in.items(part), K = in.K;
    const void *       a = rows_of_a(in, d.A, j0, j1);
    float *            h = scratch().get<float>(SLOT_B, (j1 - j0) * in.T);
    if (in.bf16()) {
        kernels().dots_bf16((int) (j1 - j0), K, (const uint16_t *) a, K, (int) in.T, (const uint16_t *) x, K, h, j1 - j0, false);
    } else {
        for (int64_t t = 0; t < in.T; t++) {
            for (int64_t j = 0; j < j1 - j0; j++) {
                h[t * (j1 - j0) + j] = kernels().dot((const float *) a + j * K, (const float *) x + t * K, (int) K);
            }
        }
    }
    for (int64_t t = 0; t < in.T; t++) {
        for (int64_t j = j0; j < j1; j++) {
            put(in, out + in.offset(part, t), j, d.scale * h[t * (j1 - j0) + j - j0]);
        }
        if (j1 == d.A->ne[1] && items > j1) {
            put(in, out + in.offset(part, t), j1, 0);
        }
    }
}

// Rounds token t to blocks of eight bits where the product wants them.
void put_blocks(const DecodeInput & in, const float * x, char * to) {
    if (in.feed == DecodeFeed::GGML_DOTS) {
        ggml_get_type_traits_cpu(in.type)->from_float(x, to, in.K);
    } else {
        kernels().quantize_q8(x, in.K, (int8_t *) to);
    }
}

// Dots: every thread packs x for itself, for the rows of h it computes; thread 0's copy is
// the one that is kept, unless the product reads blocks.
void input_dots(const DecodeInput & in, ggml_tensor * dst, int ith, int nth) {
    char *       out    = (char *) dst->data;
    const bool   blocks = in.feed == DecodeFeed::GGML_DOTS || in.feed == DecodeFeed::Q8_DOTS;
    const size_t row    = in.K * item_bytes(in);
    float *      own    = scratch().get<float>(SLOT_D, in.K);
    char *       mine   = ith == 0 && !blocks ? out : scratch().get<char>(SLOT_E, in.T * row);
    for (int64_t t = 0; t < in.T; t++) {
        const float * x = row_of(in, dst, t, own);
        if (in.bf16()) {
            kernels().to_bf16(x, (uint16_t *) (mine + t * row), in.K);
        } else {
            std::memcpy(mine + t * row, x, row);
        }
        if (blocks && ith == 0) {
            put_blocks(in, x, out + in.offset(-1, t));
        }
    }
    for (int p = 0; p < (int) in.downs.size(); p++) {
        const Share j(in.downs[p].A->ne[1], ith, nth);
        if (j.begin < j.end) {
            h_dots(in, p, mine, j.begin, j.end, out);
        }
    }
}

// Packs tokens [t0, t0+lanes) into a panel of x.
void pack_panel(const DecodeInput & in, const ggml_tensor * dst, int64_t t0, int lanes, char * panel) {
    const int    width = panel_width(lanes);
    const size_t row   = row_bytes(in, -1);
    float *      own   = scratch().get<float>(SLOT_D, in.K);
    char *       rows  = scratch().get<char>(SLOT_F, width * row);
    for (int l = 0; l < lanes; l++) {
        const float * x = row_of(in, dst, t0 + l, own);
        if (in.bf16()) {
            kernels().to_bf16(x, (uint16_t *) (rows + l * row), in.K);
        } else {
            std::memcpy(rows + l * row, x, row);
        }
    }
    std::memset(rows + lanes * row, 0, (width - lanes) * row);
    const int depth = (int) (row / sizeof(uint32_t));
    kernels().transpose32((const uint32_t *) rows, depth, width, depth, (uint32_t *) panel, width);
}

// Rows [j0, j1) of h of one product for a panel of x; j0 is even.
void h_panel(const DecodeInput & in, int part, const char * x, int lanes, int64_t j0, int64_t j1, char * h) {
    const DecodeDown & d     = in.downs[part];
    const int          width = panel_width(lanes);
    const int64_t      n     = j1 - j0;
    const void *       a     = rows_of_a(in, d.A, j0, j1);
    float *            tile  = scratch().get<float>(SLOT_B, (n + 1) * PANEL);
    if (in.bf16()) {
        kernels().gemm_bf16((int) n, width, (int) in.K / 2, (const uint16_t *) a, in.K, (const uint32_t *) x, width, tile, width, false);
        kernels().scale(tile, (int) n * width, d.scale);
        std::memset(tile + n * width, 0, width * sizeof(float)); // the odd row's partner
        uint16_t * b = scratch().get<uint16_t>(SLOT_G, (n + 1) * width);
        kernels().to_bf16(tile, b, (n + 1) * width);
        for (int64_t j = 0; j < n; j += 2) {
            kernels().interleave(b + j * width, b + (j + 1) * width, (uint32_t *) h + (j0 + j) / 2 * width, width);
        }
        return;
    }
    kernels().gemm_f32((int) n, width, (int) in.K, (const float *) a, in.K, 1, (const float *) x, width, tile, width, false);
    kernels().scale(tile, (int) n * width, d.scale);
    std::memcpy((float *) h + j0 * width, tile, n * width * sizeof(float));
}

void input_panels(const DecodeInput & in, ggml_tensor * dst, int ith, int nth) {
    char *        out    = (char *) dst->data;
    const int64_t blocks = (in.T + PANEL - 1) / PANEL;
    const bool    split  = blocks < nth; // the rows of h instead of the blocks
    const Share   b(blocks, split ? 0 : ith, split ? 1 : nth);
    for (int64_t i = b.begin; i < b.end; i++) {
        const int lanes = (int) std::min<int64_t>(PANEL, in.T - i * PANEL);
        char *    x     = out + in.offset(-1, i);
        if (split && ith > 0) {
            x = scratch().get<char>(SLOT_E, PANEL * row_bytes(in, -1));
        }
        pack_panel(in, dst, i * PANEL, lanes, x);
        for (int p = 0; p < (int) in.downs.size(); p++) {
            const int64_t r = in.downs[p].A->ne[1];
            const Share   pairs((r + 1) / 2, split ? ith : 0, split ? nth : 1);
            const int64_t j0 = 2 * pairs.begin, j1 = std::min(r, 2 * pairs.end);
            if (j0 < j1) {
                h_panel(in, p, x, lanes, j0, j1, out + in.offset(p, i));
            }
        }
    }
}

} // namespace

} // namespace steer

using namespace steer;

extern "C" void steer_decode_input(ggml_tensor * dst, int ith, int nth, void * input) {
    const DecodeInput & in = *(const DecodeInput *) input;
    check_f32(dst->src[0], in.K, in.T);
    if (in.panels()) {
        input_panels(in, dst, ith, nth);
    } else {
        input_dots(in, dst, ith, nth);
    }
}
