// attn_back: gradient of attn with respect to q, k, v.
//   p_ij = exp(s_ij - lse_i);  dp_ij = dO_i.v_j;  delta_i = dO_i.o_i
//   ds_ij = p_ij (dp_ij - delta_i), times 1 - (s_ij/cap)^2 with a cap
//   dq_i = scale sum_j ds_ij k_j;  dk_j = scale sum_i ds_ij q_i;  dv_j = sum_i p_ij dO_i
//   dst [D*H + 2*D*HK, T] = dq | dk | dv; zero from token cu[S] on
//   src0 dO [D*H,T], src1 q, src2 k, src3 v, f32 or bf16, src4 out (dst of attn), src5 cu I32 [S+1]
//   parameters as attn
//
// Two kernels (Dao 2023, split so that nothing is added by two blocks): a block of queries
// walks its keys for dq; a block of keys walks the queries of all heads of its group for dk, dv,
// with the scores transposed, so that its sums stay in registers.

#include "attn.h"

namespace steer {
namespace cuda {
namespace {

// One token a block, one head a warp at a time.
__global__ void deltas(AttnArgs a) {
    const int64_t t = blockIdx.x;
    for (int h = threadIdx.x / 32; h < a.H; h += blockDim.x / 32) {
        float sum = 0;
        for (int d = threadIdx.x % 32; d < a.D; d += 32) {
            sum += a.dO.data[t * a.dO.stride + h * a.D + d] * a.out.data[t * a.out.stride + h * a.D + d];
        }
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) {
            a.delta[t * a.H + h] = sum;
        }
    }
}

// lse (in powers of two) and delta of a sequence's query; zero behind its end.
__device__ __forceinline__ void load_query(const AttnArgs & a, const AttnPlace & p, int query, int head, float * lse,
                                           float * delta) {
    const int64_t token = p.first + query;
    const bool    used  = query < p.length;
    *lse                = used ? a.out.data[token * a.out.stride + a.D * a.H + head] * LOG2_E : 0.0f;
    *delta              = used ? a.delta[token * a.H + head] : 0.0f;
}

// Walks tiles 0 ... n-1 of the other side: load(tile, stage) begins to bring one, compute(tile, stage) uses it.
template <int STAGES, class Load, class Compute>
__device__ __forceinline__ void walk(int n, Load load, Compute compute) {
    if (STAGES == 2 && n > 0) {
        load(0, 0);
    }
    for (int i = 0; i < n; i++) {
        const int stage = STAGES == 2 ? i % 2 : 0;
        if (STAGES == 1) {
            load(i, 0);
            copy_wait<0>();
        } else if (i + 1 < n) {
            load(i + 1, stage ^ 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        compute(i, stage);
        __syncthreads(); // before the stage is loaded again
    }
}

// grid: blocks of queries, heads, slices of the result
template <class E, int DP>
__global__ void __launch_bounds__(AttnTile<E, DP>::THREADS, 2) attn_back_queries(AttnArgs a, AttnInputs<E> in) {
    using Tile         = AttnTile<E, DP>;
    constexpr int COLS = Tile::COLS_BACK, NT = COLS / 8, NO = Tile::SLICE / 8;
    STEER_DYNAMIC_SHARED(E, q);
    E * const       dO   = q + Tile::ROWS * Tile::LD;
    E * const       keys = dO + Tile::ROWS * Tile::LD; // of each stage: keys, then values
    const AttnPlace p    = attn_place(a.cu, a.S, blockIdx.x, Tile::ROWS, true);
    const int       L = p.length, head = blockIdx.y, kv = head / (a.H / a.HK), slice = blockIdx.z * Tile::SLICE;
    const int warp = threadIdx.x / 32, row0 = p.t0 + warp * 16, row = row0 + threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    if (L == 0) {
        return;
    }
    const int64_t from = p.first + p.t0;
    load_tile<E, DP, Tile::ROWS>(q, in.q.data + from * in.q.stride + head * a.D, in.q.stride, L - p.t0, a.D, in.wide);
    load_tile<E, DP, Tile::ROWS>(dO, in.dO.data + from * in.dO.stride + head * a.D, in.dO.stride, L - p.t0, a.D,
                                 in.wide);
    float lse[2], delta[2], dq[NO][4];
    load_query(a, p, row, head, &lse[0], &delta[0]);
    load_query(a, p, row + 8, head, &lse[1], &delta[1]);
    clear(dq);
    const int  end  = p.t0 + Tile::ROWS < L ? p.t0 + Tile::ROWS : L;
    const int  begin = first_key(a, p.t0, 0, COLS);
    const auto load  = [&](int tile, int stage) {
        const int     j0 = begin + tile * COLS;
        const int64_t at = p.first + j0;
        E * const     k  = keys + stage * 2 * COLS * Tile::LD;
        load_tile<E, DP, COLS>(k, in.k.data + at * in.k.stride + kv * a.D, in.k.stride, L - j0, a.D, in.wide);
        load_tile<E, DP, COLS>(k + COLS * Tile::LD, in.v.data + at * in.v.stride + kv * a.D, in.v.stride, L - j0, a.D,
                               in.wide);
        copy_commit();
    };
    walk<Tile::STAGES_BACK>((end - begin + COLS - 1) / COLS, load, [&](int tile, int stage) {
        const int j0 = begin + tile * COLS;
        if (j0 > row0 + 15 || row0 - j0 - (COLS - 1) >= a.window) {
            return;
        }
        const E * k = keys + stage * 2 * COLS * Tile::LD;
        float     s[NT][4], ds[NT][4];
        clear(s);
        clear(ds);
        product_nt<DP>(s, q + warp * 16 * Tile::LD, k);
        product_nt<DP>(ds, dO + warp * 16 * Tile::LD, k + COLS * Tile::LD);
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int   j    = j0 + n * 8 + 2 * t + i % 2;
                const int   query = row + i / 2 * 8;
                const bool  seen  = j <= query && j < L && query - j < a.window;
                const float sc    = score(a, s[n][i]);
                const float prob  = seen ? exp2f(sc - lse[i / 2]) : 0.0f;
                ds[n][i]          = prob * (ds[n][i] - delta[i / 2]) * slope_of(a, sc);
            }
        }
        product_nn<DP>(dq, ds, k + slice);
    });
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (row + 8 * i < L) {
            store_row(a.dst.data + (p.first + row + 8 * i) * a.dst.stride + head * a.D, dq, i, a.scale, slice, a.D,
                      a.fours_out);
        }
    }
}

// grid: blocks of keys, kv heads, slices of the result. Two blocks a multiprocessor are enough: for
// more, the compiler would spill.
template <class E, int DP>
__global__ void __launch_bounds__(AttnTile<E, DP>::THREADS, 2) attn_back_keys(AttnArgs a, AttnInputs<E> in) {
    using Tile           = AttnTile<E, DP>;
    constexpr int COLS   = Tile::COLS_BACK, NT = COLS / 8, NO = Tile::SLICE_KEYS / 8;
    constexpr int STAGES = Tile::STAGES_BACK;
    STEER_DYNAMIC_SHARED(E, k);
    E * const       v       = k + Tile::ROWS * Tile::LD;
    E * const       queries = v + Tile::ROWS * Tile::LD;                       // of each stage: q, then dO
    float * const   sums    = (float *) (queries + STAGES * 2 * COLS * Tile::LD); // of each stage: lse, then delta
    const AttnPlace p       = attn_place(a.cu, a.S, blockIdx.x, Tile::ROWS, false);
    const int       L = p.length, kv = blockIdx.y, group = a.H / a.HK, slice = blockIdx.z * Tile::SLICE_KEYS;
    const int warp = threadIdx.x / 32, row0 = p.t0 + warp * 16, row = row0 + threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    if (L == 0) {
        return;
    }
    const int64_t from = p.first + p.t0;
    load_tile<E, DP, Tile::ROWS>(k, in.k.data + from * in.k.stride + kv * a.D, in.k.stride, L - p.t0, a.D, in.wide);
    load_tile<E, DP, Tile::ROWS>(v, in.v.data + from * in.v.stride + kv * a.D, in.v.stride, L - p.t0, a.D, in.wide);
    float dk[NO][4], dv[NO][4];
    clear(dk);
    clear(dv);
    // The last query that sees one of these keys, and tiles of each head up to there.
    const int  reach = a.window > L - p.t0 - Tile::ROWS + 1 ? L : p.t0 + Tile::ROWS - 1 + a.window;
    const int  tiles = (reach - p.t0 + COLS - 1) / COLS;
    const auto load  = [&](int tile, int stage) {
        const int     head = kv * group + tile / tiles, i0 = p.t0 + tile % tiles * COLS;
        const int64_t at = p.first + i0;
        E * const     q  = queries + stage * 2 * COLS * Tile::LD;
        load_tile<E, DP, COLS>(q, in.q.data + at * in.q.stride + head * a.D, in.q.stride, L - i0, a.D, in.wide);
        load_tile<E, DP, COLS>(q + COLS * Tile::LD, in.dO.data + at * in.dO.stride + head * a.D, in.dO.stride, L - i0,
                               a.D, in.wide);
        const int i = threadIdx.x;
        if (i < COLS) {
            const bool    used  = i0 + i < L;
            const int64_t token = at + (used ? i : 0);
            copy_async<4>(sums + stage * 2 * COLS + i, a.out.data + token * a.out.stride + a.D * a.H + head, used);
            copy_async<4>(sums + stage * 2 * COLS + COLS + i, a.delta + token * a.H + head, used);
        }
        copy_commit();
    };
    walk<STAGES>(group * tiles, load, [&](int tile, int stage) {
        const int i0 = p.t0 + tile % tiles * COLS;
        if (i0 + COLS - 1 < row0 || i0 - (row0 + 15) >= a.window) {
            return; // these queries come before the warp's keys, or far behind
        }
        const E *     q   = queries + stage * 2 * COLS * Tile::LD;
        const float * lse = sums + stage * 2 * COLS, * delta = lse + COLS;
        float         s[NT][4], ds[NT][4]; // rows are keys, columns queries
        clear(s);
        clear(ds);
        product_nt<DP>(s, k + warp * 16 * Tile::LD, q);
        product_nt<DP>(ds, v + warp * 16 * Tile::LD, q + COLS * Tile::LD);
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int  at = n * 8 + 2 * t + i % 2, query = i0 + at;
                const int   key  = row + i / 2 * 8;
                const bool  seen = query >= key && query < L && query - key < a.window;
                const float sc   = score(a, s[n][i]);
                s[n][i]          = seen ? exp2f(sc - lse[at] * LOG2_E) : 0.0f;
                ds[n][i]         = s[n][i] * (ds[n][i] - delta[at]) * slope_of(a, sc);
            }
        }
        product_nn<DP>(dv, s, q + COLS * Tile::LD + slice);
        product_nn<DP>(dk, ds, q + slice);
    });
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (row + 8 * i < L) {
            float * out = a.dst.data + (p.first + row + 8 * i) * a.dst.stride + a.D * a.H + kv * a.D;
            store_row(out, dk, i, a.scale, slice, a.D, a.fours_out);
            store_row(out + a.D * a.HK, dv, i, 1, slice, a.D, a.fours_out);
        }
    }
}

template <class E> void backward(ggml_tensor * dst, steer_cuda & c, const AttnArgs & a) {
    const AttnOperands<E> operands(c, a, dst->src[1], dst->src[2], dst->src[3], dst->src[0]);
    by_head_size<E>(a.D, [&](auto, auto padded) {
        constexpr int  DP     = decltype(padded)::value;
        using Tile            = AttnTile<E, DP>;
        const size_t   bytes  = Tile::bytes_back(Tile::STAGES_BACK);
        const unsigned blocks = (unsigned) attn_blocks(a, dst->ne[1], Tile::ROWS);
        launch(c, "attn_back_queries", attn_back_queries<E, DP>,
               dim3(blocks, (unsigned) a.H, attn_slices(a, Tile::SLICE)), Tile::THREADS, bytes, a, operands.inputs());
        launch(c, "attn_back_keys", attn_back_keys<E, DP>,
               dim3(blocks, (unsigned) a.HK, attn_slices(a, Tile::SLICE_KEYS)), Tile::THREADS, bytes, a,
               operands.inputs());
    });
}

} // namespace

void attn_back(ggml_tensor * dst, steer_cuda & c) {
    AttnArgs            a = attn_args(dst, 1);
    const ggml_tensor * dO = dst->src[0];
    const ggml_tensor * out = dst->src[4];
    const ggml_tensor * cu = dst->src[5];
    const int64_t       T = dst->ne[1], DH = (int64_t) a.D * a.H;
    require_f32(dst, DH + 2 * (int64_t) a.D * a.HK, T, "dst is not f32 [D*H + 2*D*HK, T]");
    require_f32(dO, DH, T, "dO is not f32 [D*H,T]");
    require_f32(out, DH + a.H, T, "out is not f32 [D*H + H, T]");
    require_ints(cu, cu ? cu->ne[0] : 0, "cu is not I32 [S+1]");
    a.dO    = rows_of<const float>(dO);
    a.out   = rows_of<const float>(out);
    a.cu    = ints_of(cu);
    a.S     = (int) cu->ne[0] - 1;
    Scratch<float> delta(c, T * a.H);
    a.delta = delta;
    attn_zero_unused(c, dst, a);
    launch(c, "deltas", deltas, dim3((unsigned) T), 128, 0, a);
    if (params_of(dst).i[3]) {
        backward<bf16>(dst, c, a);
    } else {
        backward<float>(dst, c, a);
    }
}

} // namespace cuda
} // namespace steer
