// attn: causal attention over sequences laid end to end, grouped-query.
//   s_ij = scale q_i.k_j,  j <= i of the same sequence;  lse_i = log sum_j exp(s_ij)
//   with a cap, f1 > 0: s_ij = cap tanh(scale q_i.k_j / cap);  with a window, i4 > 0: i - i4 < j <= i
//   o_i = sum_j exp(s_ij - lse_i) v_j;  head h reads kv head h / (H/HK)
//   dst [D*H + H, T]: o (D*H values), then lse of each head; zero from token cu[S] on
//   src0 q [D*H,T], src1 k [D*HK,T], src2 v [D*HK,T], f32 or bf16, src3 cu I32 [S+1], (src4 parents I32 [S])
//   With parents cu bounds segments: a query also sees all keys of parents[s] (< s; -1: none), of
//   that one's parent, and so on up to the root.
//   f0 = scale, i0 = D, i1 = H, i2 = HK, i3 = 1: products in bf16
//
// Online softmax over tiles of keys (Milakov and Gimelshein 2018; Dao 2023): a block has the
// queries of one head, a warp 16 of them; scores and sums stay in registers. For bf16 the operands are
// rounded once, before; a tile of keys and values is loaded while the one before is computed with.

#include "attn.h"

#include <algorithm>

namespace steer {
namespace cuda {
namespace {

// Scores (in powers of two) of a tile of keys become exp(s - m); m, sum and o, relative to the
// largest score so far, follow. m begins finite: a window may leave a query no key in the first tile.
template <int NT, int NO>
__device__ __forceinline__ void take_in_scores(float (&s)[NT][4], float (&o)[NO][4], float (&m)[2], float (&sum)[2]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float most = m[i], part = 0;
#pragma unroll
        for (int n = 0; n < NT; n++) {
            most = fmaxf(most, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
        }
        most             = row_max(most);
        const float keep = exp2f(m[i] - most);
#pragma unroll
        for (int n = 0; n < NT; n++) {
            s[n][2 * i]     = exp2f(s[n][2 * i] - most);
            s[n][2 * i + 1] = exp2f(s[n][2 * i + 1] - most);
            part += s[n][2 * i] + s[n][2 * i + 1];
        }
        sum[i] = sum[i] * keep + part; // of this lane's columns
        m[i]   = most;
#pragma unroll
        for (int n = 0; n < NO; n++) {
            o[n][2 * i] *= keep;
            o[n][2 * i + 1] *= keep;
        }
    }
}

constexpr float LOWEST = -1e30f; // of scores

// A tile of keys j0 ... of a segment; of the queries' own one it is read up to `end`.
struct Keys {
    int  segment, first, length, j0, end;
    int  behind; // tokens of the segments between these keys and the queries' own, theirs included
    bool own;
};

// The tile behind: of the same segment, then of its parent; segment is -1 behind the last. t0: of the queries.
template <bool TREE> __device__ __forceinline__ Keys next_keys(Keys k, const AttnArgs & a, int t0, int cols) {
    k.j0 += cols;
    if (k.j0 >= k.end) {
        k.segment = TREE ? a.parents[k.segment] : -1;
        if (TREE && k.segment >= 0) {
            k.first  = a.cu[k.segment];
            k.length = k.end = a.cu[k.segment + 1] - k.first;
            k.behind += k.length;
            k.j0  = first_key(a, t0, k.behind, cols);
            k.own = false;
            if (k.j0 >= k.length) {
                k.segment = -1; // all that is left lies before the window
            }
        }
    }
    return k;
}

// grid: blocks of queries, heads, slices of the result. TREE: there are parents. A block walks its
// own keys first: of their first tile every query sees one. In f32 a block may have all registers it
// asks for: the compiler would else give it 128 for a fourth block, and spill.
template <class E, int DP, bool TREE>
__global__ void __launch_bounds__(AttnTile<E, DP>::THREADS, sizeof(E) == 4 ? 1 : 0)
    attn_forward(AttnArgs a, AttnInputs<E> in) {
    using Tile         = AttnTile<E, DP>;
    constexpr int COLS = Tile::COLS, NT = COLS / 8, NO = Tile::SLICE / 8;
    STEER_DYNAMIC_SHARED(E, q);
    E * const       keys = q + Tile::ROWS * Tile::LD; // of each stage: keys, then values
    const AttnPlace p    = attn_place(a.cu, a.S, blockIdx.x, Tile::ROWS, true);
    const int       L = p.length, head = blockIdx.y, kv = head / (a.H / a.HK), slice = blockIdx.z * Tile::SLICE;
    const int warp = threadIdx.x / 32, row0 = p.t0 + warp * 16, row = row0 + threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    if (L == 0) {
        return;
    }
    const auto load = [&](const Keys & tile, int stage) {
        E * const     k    = keys + stage * 2 * COLS * Tile::LD;
        const int64_t from = tile.first + tile.j0;
        const int     left = tile.length - tile.j0;
        load_tile<E, DP, COLS>(k, in.k.data + from * in.k.stride + kv * a.D, in.k.stride, left, a.D, in.wide);
        load_tile<E, DP, COLS>(k + COLS * Tile::LD, in.v.data + from * in.v.stride + kv * a.D, in.v.stride, left, a.D,
                               in.wide);
        copy_commit();
    };
    load_tile<E, DP, Tile::ROWS>(q, in.q.data + (p.first + p.t0) * in.q.stride + head * a.D, in.q.stride, L - p.t0, a.D,
                                 in.wide);
    Keys tile = { p.segment, p.first, L, first_key(a, p.t0, 0, COLS), p.t0 + Tile::ROWS < L ? p.t0 + Tile::ROWS : L,
                  0,         true };
    load(tile, 0);
    float o[NO][4], m[2] = { LOWEST, LOWEST }, sum[2] = { 0, 0 }; // m in powers of two
    clear(o);
    for (int stage = 0; tile.segment >= 0; stage ^= 1) {
        const Keys next = next_keys<TREE>(tile, a, p.t0, COLS);
        if (next.segment >= 0) {
            load(next, stage ^ 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        const int  j0  = tile.j0;
        const bool own = !TREE || tile.own;
        // How far the warp's first query lies behind these keys' first one.
        const int  ahead = row0 + tile.behind - j0;
        if ((!own || j0 <= row0 + 15) &&
            ahead - (COLS - 1) < a.window) { // else its queries come before these keys, or far behind
            const E * k = keys + stage * 2 * COLS * Tile::LD;
            float     s[NT][4];
            clear(s);
            product_nt<DP>(s, q + warp * 16 * Tile::LD, k);
            const bool whole = (own ? j0 + COLS - 1 <= row0 : j0 + COLS <= tile.length) && ahead + 15 < a.window;
#pragma unroll
            for (int n = 0; n < NT; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int j = j0 + n * 8 + 2 * t + i % 2;
                    const int query = row + i / 2 * 8;
                    s[n][i] = whole || ((!own || j <= query) && j < tile.length && query + tile.behind - j < a.window)
                                  ? score(a, s[n][i])
                                  : -INFINITY;
                }
            }
            take_in_scores(s, o, m, sum);
            product_nn<DP>(o, s, k + COLS * Tile::LD + slice);
        }
        __syncthreads(); // before the stage is loaded again
        tile = next;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float total = row_sum(sum[i]);
        if (row + 8 * i < L) {
            float * out = a.dst.data + (p.first + row + 8 * i) * a.dst.stride;
            store_row(out + head * a.D, o, i, 1 / total, slice, a.D, a.fours_out);
            if (slice == 0 && t == 0) {
                out[a.D * a.H + head] = (m[i] + log2f(total)) * LN_2;
            }
        }
    }
}

__global__ void zero_unused(Rows<float> dst, const int32_t * cu, int S, int T, int n) {
    for (int t = cu[S] + blockIdx.x; t < T; t += gridDim.x) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) {
            dst.data[t * dst.stride + i] = 0;
        }
    }
}

template <class E> void forward(ggml_tensor * dst, steer_cuda & c, const AttnArgs & a) {
    const AttnOperands<E> operands(c, a, dst->src[0], dst->src[1], dst->src[2], nullptr);
    by_head_size<E>(a.D, [&](auto, auto padded) {
        constexpr int DP   = decltype(padded)::value;
        using Tile         = AttnTile<E, DP>;
        const dim3 grid((unsigned) attn_blocks(a, dst->ne[1], Tile::ROWS), (unsigned) a.H, attn_slices(a, Tile::SLICE));
        const auto kernel = a.parents ? attn_forward<E, DP, true> : attn_forward<E, DP, false>;
        launch(c, "attn_forward", kernel, grid, Tile::THREADS, Tile::bytes(Tile::STAGES), a, operands.inputs());
    });
}

} // namespace

AttnArgs attn_args(ggml_tensor * dst, int first) {
    const ggml_tensor *q = dst->src[first], *k = dst->src[first + 1], *v = dst->src[first + 2];
    const steer_op_params & p  = params_of(dst);
    const int64_t           D = p.i[0], H = p.i[1], HK = p.i[2], T = dst->ne[1];
    require(D > 0 && D <= 256, "a head size outside 1 ... 256");
    require(H > 0 && HK > 0 && H % HK == 0, "heads are not whole groups of kv heads");
    require(T < 0x7FFFFFFF - 256, "too many tokens");
    require_packed(q, D * H, T, "q");
    require_packed(k, D * HK, T, "k");
    require_packed(v, D * HK, T, "v");
    AttnArgs a = {};
    a.dst = rows_of<float>(dst);
    a.D = (int) D, a.H = (int) H, a.HK = (int) HK;
    a.scale     = p.f[0];
    a.cap       = p.f[1];
    a.window    = p.i[4] > 0 ? p.i[4] : NO_WINDOW;
    a.fours_out = D % 4 == 0 && (uintptr_t) dst->data % 16 == 0 && dst->nb[1] % 16 == 0;
    return a;
}

void attn_zero_unused(steer_cuda & c, ggml_tensor * dst, const AttnArgs & a) {
    const int64_t T = dst->ne[1];
    launch(c, "zero_unused", zero_unused, dim3((unsigned) std::min<int64_t>(T, 256)), 256, 0, a.dst, a.cu, a.S, (int) T,
           (int) dst->ne[0]);
}

void attn(ggml_tensor * dst, steer_cuda & c) {
    AttnArgs            a  = attn_args(dst, 0);
    const ggml_tensor * cu = dst->src[3];
    require_f32(dst, (int64_t) a.D * a.H + a.H, dst->ne[1], "dst is not f32 [D*H + H, T]");
    require_ints(cu, cu ? cu->ne[0] : 0, "cu is not I32 [S+1]");
    a.cu = ints_of(cu);
    a.S  = (int) cu->ne[0] - 1;
    if (const ggml_tensor * parents = dst->src[4]) {
        require_ints(parents, a.S, "parents are not I32 [S]");
        a.parents = ints_of(parents);
    }
    attn_zero_unused(c, dst, a);
    if (params_of(dst).i[3]) {
        forward<bf16>(dst, c, a);
    } else {
        forward<float>(dst, c, a);
    }
}

} // namespace cuda
} // namespace steer
