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

// How the activations of a decoding product are fed to the kernels.
enum class DecodeFeed {
    Q8_DOTS,     // one to four tokens against blocks of 4 or 8 bits: activations of 8 bits
    BF16_DOTS,   // few tokens: rows of bf16, one dot product for each token
    BF16_PANELS, // panels over tokens in bf16, weights are the rows
    F32_DOTS,    // as above in f32: exact, and what machines without bf16 take
    F32_PANELS,
    GGML_DOTS, // ggml's own dot product: activations rounded to its 8-bit blocks
};

// The choice for T tokens against weights of that type and depth; exact: f32 only.
DecodeFeed decode_feed(ggml_type type, int64_t depth, int64_t T, bool exact);

// One LoRA product of an input: h = scale A^T x.
struct DecodeDown {
    const ggml_tensor * A; // F32 [K, r]
    float               scale;
};

// Prepared activations of T tokens. Memory, for each feed:
//   dots:   x [T][K], then h of each product [T][r] (bf16; f32; blocks and bf16; blocks and f32)
//   panels: for each block of 32 tokens x [K][width], then h of each product [r][width], two
//           k sharing an item in bf16
struct DecodeInput {
    enum Kind { PLAIN, NORM, SWIGLU };
    Kind       kind = PLAIN;
    DecodeFeed feed = DecodeFeed::F32_DOTS;
    ggml_type  type = GGML_TYPE_F32; // GGML_DOTS: of the blocks
    float      eps  = 0;             // NORM
    const ggml_tensor * w = nullptr; // NORM: weight [K]
    int64_t    K = 0, T = 0;
    std::vector<DecodeDown> downs;

    size_t  bytes() const;
    // Address and row distance (items) of x (part -1) or of h of a product, token or block t.
    int64_t items(int part) const; // K, or r made even
    size_t  offset(int part, int64_t t) const;
    bool    panels() const { return feed == DecodeFeed::BF16_PANELS || feed == DecodeFeed::F32_PANELS; }
    bool    bf16() const { return feed == DecodeFeed::Q8_DOTS || feed == DecodeFeed::BF16_DOTS || feed == DecodeFeed::BF16_PANELS; }
};

struct DecodeUp {
    int                 part; // of the input's products
    const ggml_tensor * B;    // F32 [r, N]
};

struct DecodeLinear {
    const DecodeInput * input = nullptr;
    const ggml_tensor * W     = nullptr; // [K, N]
    std::vector<DecodeUp> ups;
    bool                residual = false; // dst->src[1] is added
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
    float               scale = 1;
    std::atomic<int>    next{ 0 };
};

} // namespace steer

// ggml_custom_op_t with the structs above as userdata. Sources are in dst->src.
extern "C" {
// dst: bytes of the input; src0 x, or gate with src1 up
void steer_decode_input(ggml_tensor * dst, int ith, int nth, void * input);
// dst y [N,T]; src0 the prepared input, (src1 residual [N,T])
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
