// Shared by attn and attn_back: tiles in shared memory, and the two products of a warp with
// them, on the tensor cores for bf16 and by f32 FMA for the exact path. Both leave their
// results in the same lanes, so that one kernel text serves both.
//
// A warp owns 16 rows. acc[n][i] of a lane with g = lane/4, t = lane%4 is the element
//   row g + 8 (i / 2), column 8n + 2t + i % 2        (as mma_16x8x16 has it)
#pragma once

#include "device.h"
#include "product.h"

#include <optional>

namespace steer {
namespace cuda {

// E: bf16 or float in shared memory. DP: head size, padded with zeros to 64, 128 or 256.
template <class E, int DP> struct AttnTile {
    static constexpr int BYTES   = DP * (int) sizeof(E);
    static constexpr int WARPS   = BYTES <= 512 ? 4 : 2;
    static constexpr int THREADS = WARPS * 32;
    static constexpr int ROWS    = WARPS * 16; // tokens of the block
    // Tokens of the other side at a time, forward and backward.
    static constexpr int COLS      = sizeof(E) == 2 ? (DP <= 128 ? 64 : 32) : DP <= 64 ? 32 : 16;
    static constexpr int COLS_BACK = sizeof(E) == 2 && DP <= 128 ? 32 : 16;
    // Features of the result that one block computes; wider heads take more blocks.
    static constexpr int SLICE = DP < 128 ? DP : 128;
    // The same for the gradients of keys and values, of which there are two in registers.
    static constexpr int SLICE_KEYS = sizeof(E) == 2 && DP <= 128 ? DP : 64;
    // Distance of rows: 16 bytes more, so that no two of eight rows share banks.
    static constexpr int LD = DP + 16 / (int) sizeof(E);

    // While one tile of the other side is computed with, the next one is on its way. Bytes of shared
    // memory with that many stages; backward with lse and delta of the queries.
    static constexpr int STAGES = 2;
    static constexpr int bytes(int stages) { return (ROWS + 2 * stages * COLS) * LD * (int) sizeof(E); }
    static constexpr int bytes_back(int stages) {
        return 2 * (ROWS + stages * COLS_BACK) * LD * (int) sizeof(E) + 2 * stages * COLS_BACK * (int) sizeof(float);
    }
    static constexpr int MOST        = 99 * 1024; // a block has that on every device from sm_80 on
    static constexpr int STAGES_BACK = bytes_back(2) <= MOST ? 2 : 1;
    static_assert(bytes(STAGES) <= MOST && bytes_back(STAGES_BACK) <= MOST, "too much shared memory");
};

struct AttnArgs {
    Rows<const float> dO, out;
    Rows<float>       dst;
    float *           delta; // [T*H]
    const int32_t *   cu;    // [S+1]
    const int32_t *   parents; // [S]; null: each segment is a sequence of its own
    int               S, D, H, HK;
    float             scale;
    float             cap;    // of scores; 0: none
    int               window; // tokens that a query sees, itself included
    bool              fours_out; // dst can be accessed four values at a time
};

// The operands in the arithmetic's type.
template <class E> struct AttnInputs {
    Rows<const E> q, k, v, dO;
    bool          wide; // rows and heads can be read 16 bytes at a time
};

// Makes them of the tensors: copies in scratch memory of those in another type. dO may be null.
template <class E> class AttnOperands {
  public:
    AttnOperands(steer_cuda & c, const AttnArgs & a, const ggml_tensor * q, const ggml_tensor * k,
                 const ggml_tensor * v, const ggml_tensor * dO) :
        q_(c, q, TYPE), k_(c, k, TYPE), v_(c, v, TYPE) {
        in_.wide = a.D * sizeof(E) % 16 == 0;
        in_.q = take(q_), in_.k = take(k_), in_.v = take(v_);
        if (dO) {
            dO_.emplace(c, dO, TYPE);
            in_.dO = take(*dO_);
        }
    }
    const AttnInputs<E> & inputs() const { return in_; }

  private:
    static constexpr ggml_type TYPE = sizeof(E) == 2 ? GGML_TYPE_BF16 : GGML_TYPE_F32;

    Rows<const E> take(const InType & x) {
        const Matrix & m = x.matrix();
        in_.wide         = in_.wide && (uintptr_t) m.data % 16 == 0 && m.ld * sizeof(E) % 16 == 0;
        return { (const E *) m.data, m.ld };
    }

    InType                q_, k_, v_;
    std::optional<InType> dO_;
    AttnInputs<E>         in_ = {};
};

constexpr float LOG2_E = 1.44269504088896340736f, LN_2 = 0.69314718055994530942f;

constexpr int NO_WINDOW = 0x7FFFFFFF;

// A score in powers of two, of a product q.k; and the slope of its capping.
__device__ __forceinline__ float score(const AttnArgs & a, float product) {
    return a.cap > 0 ? a.cap * LOG2_E * tanhf(product * (a.scale / a.cap)) : product * (a.scale * LOG2_E);
}
__device__ __forceinline__ float slope_of(const AttnArgs & a, float score) {
    if (a.cap > 0) {
        const float t = score / (a.cap * LOG2_E);
        return 1 - t * t;
    }
    return 1;
}

// The first tile of `cols` keys that some query from t0 on sees; behind: tokens between the segment of the
// keys and that of the queries, its own included.
__device__ __forceinline__ int first_key(const AttnArgs & a, int t0, int behind, int cols) {
    const int j = a.window == NO_WINDOW ? 0 : t0 + behind + 1 - a.window;
    return j > 0 ? j / cols * cols : 0;
}

// Reads and checks what both operations share; first: index of q.
AttnArgs attn_args(ggml_tensor * dst, int first);
// Rows of dst at or behind cu[S] become zero.
void attn_zero_unused(steer_cuda & c, ggml_tensor * dst, const AttnArgs & a);

// Blocks that share one head's features.
inline unsigned attn_slices(const AttnArgs & a, int slice) { return (unsigned) ((a.D + slice - 1) / slice); }

// Blocks of `rows` tokens that sequences can need together.
inline int64_t attn_blocks(const AttnArgs & a, int64_t T, int rows) { return a.S > 0 ? T / rows + a.S : 1; }

// Calls f(E{}, integral constant DP).
template <int DP> struct PaddedHead {
    static constexpr int value = DP;
};
template <class E, class F> void by_head_size(int D, F f) {
    if (D <= 64) {
        f(E{}, PaddedHead<64>{});
    } else if (D <= 128) {
        f(E{}, PaddedHead<128>{});
    } else {
        f(E{}, PaddedHead<256>{});
    }
}

// Where a block works: rows t0 ... of a sequence (or segment) of `length` tokens that begins at `first`.
struct AttnPlace {
    int first, length, t0, segment;
};

// length is 0 if there are fewer blocks. longest_first: the blocks with most keys come first.
__device__ __forceinline__ AttnPlace attn_place(const int32_t * cu, int S, int block, int rows, bool longest_first) {
    for (int s = 0; s < S; s++) {
        const int first = cu[s], length = cu[s + 1] - first, n = (length + rows - 1) / rows;
        if (block < n) {
            return { first, length, (longest_first ? n - 1 - block : block) * rows, s };
        }
        block -= n;
    }
    return { 0, 0, 0, -1 };
}

// tile[r][0..DP) = x[r*stride ..][0..D), zero beyond D and from row `valid` on; there after copy_wait and
// a barrier. valid >= 1.
template <class E, int DP, int N>
__device__ __forceinline__ void load_tile(E * tile, const E * x, int64_t stride, int valid, int D, bool wide) {
    using Tile       = AttnTile<E, DP>;
    constexpr int AT = 16 / (int) sizeof(E); // values at a time
#pragma unroll 4
    for (int i = threadIdx.x; i < N * (DP / AT); i += Tile::THREADS) {
        const int  r = i / (DP / AT), d = i % (DP / AT) * AT;
        const bool there = r < valid && d < D;
        E * const  to    = tile + r * Tile::LD + d;
        if (wide) {
            copy_async<16>(to, there ? x + r * stride + d : x, there);
        } else {
            for (int j = 0; j < AT; j++) {
                to[j] = there && d + j < D ? x[r * stride + d + j] : E{};
            }
        }
    }
}

// acc += A B^T over DP features: A the warp's 16 rows, B 8*NT rows.
template <int DP, int NT>
__device__ __forceinline__ void product_nt(float (&acc)[NT][4], const bf16 * A, const bf16 * B) {
    constexpr int LD   = AttnTile<bf16, DP>::LD;
    const int     lane = threadIdx.x % 32;
    const bf16 *  a    = A + lane % 16 * LD + lane / 16 * 8;
    const bf16 *  b    = B + (lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8;
    [[maybe_unused]] constexpr int TOGETHER = DP <= 128 ? DP / 16 : 2; // more would spill in the widest kernel
#pragma unroll TOGETHER
    for (int k = 0; k < DP; k += 16) {
        uint32_t fa[4];
        load_matrices(fa, a + k);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t fb[4];
            load_matrices(fb, b + n * 8 * LD + k);
            mma_16x8x16(acc[n], fa, fb[0], fb[1]);
            mma_16x8x16(acc[n + 1], fa, fb[2], fb[3]);
        }
    }
}

template <int DP, int NT>
__device__ __forceinline__ void product_nt(float (&acc)[NT][4], const float * A, const float * B) {
    constexpr int LD   = AttnTile<float, DP>::LD;
    const int     lane = threadIdx.x % 32;
    const float * a    = A + lane / 4 * LD;
    const float * b    = B + lane % 4 * 2 * LD;
#pragma unroll 2
    for (int k = 0; k < DP; k += 4) {
        const Values<4> a0 = load<4>(a + k), a1 = load<4>(a + 8 * LD + k);
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const Values<4> b0 = load<4>(b + n * 8 * LD + k), b1 = load<4>(b + (n * 8 + 1) * LD + k);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                acc[n][0] += a0.v[j] * b0.v[j];
                acc[n][1] += a0.v[j] * b1.v[j];
                acc[n][2] += a1.v[j] * b0.v[j];
                acc[n][3] += a1.v[j] * b1.v[j];
            }
        }
    }
}

// acc += P B: P 16 x 8*KT in registers (as an acc), B 8*KT rows of which 8*NT features count.
template <int DP, int NT, int KT>
__device__ __forceinline__ void product_nn(float (&acc)[NT][4], const float (&P)[KT][4], const bf16 * B) {
    constexpr int LD   = AttnTile<bf16, DP>::LD;
    const int     lane = threadIdx.x % 32;
    const bf16 *  b    = B + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < KT; k += 2) {
        const uint32_t fa[4] = { to_bf16x2(P[k][0], P[k][1]), to_bf16x2(P[k][2], P[k][3]),
                                 to_bf16x2(P[k + 1][0], P[k + 1][1]), to_bf16x2(P[k + 1][2], P[k + 1][3]) };
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t fb[4];
            load_matrices_transposed(fb, b + k * 8 * LD + n * 8);
            mma_16x8x16(acc[n], fa, fb[0], fb[1]);
            mma_16x8x16(acc[n + 1], fa, fb[2], fb[3]);
        }
    }
}

template <int DP, int NT, int KT>
__device__ __forceinline__ void product_nn(float (&acc)[NT][4], const float (&P)[KT][4], const float * B) {
    constexpr int LD   = AttnTile<float, DP>::LD;
    const int     lane = threadIdx.x % 32;
    const float * b    = B + lane % 4 * 2;
#pragma unroll
    for (int k = 0; k < KT * 8; k++) {
        const int   from = (lane & ~3) | k % 8 / 2;
        const float p0 = __shfl_sync(~0u, P[k / 8][k % 2], from), p1 = __shfl_sync(~0u, P[k / 8][2 + k % 2], from);
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const float2 x = *(const float2 *) (b + k * LD + n * 8);
            acc[n][0] += p0 * x.x;
            acc[n][1] += p0 * x.y;
            acc[n][2] += p1 * x.x;
            acc[n][3] += p1 * x.y;
        }
    }
}

template <int NT> __device__ __forceinline__ void clear(float (&acc)[NT][4]) {
#pragma unroll
    for (int n = 0; n < NT; n++) {
        acc[n][0] = acc[n][1] = acc[n][2] = acc[n][3] = 0;
    }
}

// Row of acc's half i (0, 1) to out[d0 ...], times factor; features from D on are padding.
template <int NT>
__device__ __forceinline__ void store_row(float * out, const float (&acc)[NT][4], int i, float factor, int d0, int D,
                                          bool fours) {
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < NT; n++) {
        const int   d = d0 + n * 8 + 2 * t;
        const float x = acc[n][2 * i] * factor, y = acc[n][2 * i + 1] * factor;
        if (fours && d < D) { // D is a multiple of four
            float2 both;
            both.x = x, both.y = y;
            *(float2 *) (out + d) = both;
        } else if (d < D) {
            out[d] = x;
            if (d + 1 < D) {
                out[d + 1] = y;
            }
        }
    }
}

// Over the four lanes of a row.
__device__ __forceinline__ float row_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

__device__ __forceinline__ float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

} // namespace cuda
} // namespace steer
