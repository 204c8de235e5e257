// Fused operations of libllama's decoding graph; decode_graph.cpp puts them in the place
// of libllama's nodes.
//
// The input of some linear layers (normalized, gated or as it is) is prepared once: packed
// for the matrix kernels, with the LoRA products h = s A^T x of every layer that reads it
// behind it. A linear layer is then y = W^T x + sum B^T h + residual in one walk over W.
#pragma once

#include "common.h"

#include <atomic>
#include <vector>

namespace steer {

// One LoRA product of an input: h = scale A^T x.
struct DecodeDown {
    const ggml_tensor * A; // F32 [K, r]
    float               scale;
};

// Prepared activations of T tokens, rows of bf16 or, where the machine has no such dot product
// or where decoding is to be exact, f32. Memory: x [T][row], then h of each product [T][row],
// rows filled up to whole cache lines, an odd number of them.
//
// What a token gets does not depend on how many lie beside it: that holds for all of decoding,
// by the same arithmetic in the same order for one token as for five hundred.
struct DecodeInput {
    enum Kind { PLAIN, NORM, SWIGLU, GEGLU };
    Kind    kind = PLAIN;
    bool    bf16 = false;
    float   eps  = 0;             // NORM
    const ggml_tensor * w = nullptr; // NORM: weight [K]
    int64_t K = 0, T = 0;
    std::vector<DecodeDown> downs;

    size_t  bytes() const;
    // Of x (part -1) or of h of a product: numbers of a row, their distance from row to row, the
    // address of token t's row.
    int64_t items(int part) const { return part < 0 ? K : downs[part].A->ne[1]; }
    int64_t stride(int part) const;
    size_t  offset(int part, int64_t t) const;
    size_t  item_bytes() const { return bf16 ? 2 : 4; }
};

// Whether decoding computes in bf16; exact: it must not.
bool decode_bf16(bool exact);

// n numbers made whole cache lines of that many, an odd number of them: neighbouring rows then
// fall on different sets of the cache.
int64_t decode_stride(int64_t n, bool bf16);

// dots_bf16 or dots_f32.
void decode_dots(bool bf16, int64_t N, int64_t T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf,
                 float * y, ptrdiff_t ldy);

struct DecodeUp {
    int                 part; // of the input's products
    const ggml_tensor * B;    // F32 [r, N]
};

struct DecodeLinear {
    const DecodeInput * input = nullptr;
    const ggml_tensor * W     = nullptr; // [K, N]
    std::vector<DecodeUp> ups;
    bool                residual = false; // dst->src[1] is added: rows for all tokens, or one for every token (a bias)
    std::atomic<int>    next{ 0 };        // piece of work to be taken next; 0 before each run
};

// RoPE of whole heads without YaRN's ramp, as ggml computes it.
struct DecodeRope {
    int   dims        = 0;     // of a head, all of them turned
    bool  neox        = false; // pairs (i, i + dims/2) instead of (2i, 2i+1)
    float freq_base   = 0, freq_scale = 1, attn_factor = 1;
    const ggml_tensor * factors = nullptr; // F32 [>= dims/2]
};

struct DecodeAttention {
    const ggml_tensor * k = nullptr; // F16 [D, n_kv, HK, streams]
    const ggml_tensor * v = nullptr;
    float               scale = 1, cap = 0;
    std::atomic<int>    next{ 0 };
};

} // namespace steer

// ggml_custom_op_t with the structs above as userdata. Sources are in dst->src.
extern "C" {
// dst: bytes of the input; src0 x, or gate with src1 up
void steer_decode_input(ggml_tensor * dst, int ith, int nth, void * input);
// dst y [N,T]; src0 the prepared input, (src1 residual [N,T] or bias [N])
void steer_decode_linear(ggml_tensor * dst, int ith, int nth, void * linear);
// dst F32 [2 D, T]: of each element of a head the cosine, then the signed sine; src0 pos I32 [T]
void steer_decode_rope_table(ggml_tensor * dst, int ith, int nth, void * rope);
// dst [D,H,T]; src0 x [D,H,T], src1 table
void steer_decode_rope(ggml_tensor * dst, int ith, int nth, void * rope);
// dst I32 [1 + n_kv, T]: count, then cells that a token sees; src0 mask F32 [n_kv, >= T/streams, 1, streams]
void steer_decode_cells(ggml_tensor * dst, int ith, int nth, void *);
// dst [D,H,T/streams,streams]; src0 q [D, T/streams, H, streams], src1 cells
void steer_decode_attention(ggml_tensor * dst, int ith, int nth, void * attention);
}
