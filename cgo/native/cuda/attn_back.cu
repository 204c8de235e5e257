// attn_back: gradient of attn with respect to q, k, v.
//   p_ij = exp(s_ij - lse_i);  dp_ij = dO_i.v_j;  delta_i = dO_i.o_i
//   ds_ij = p_ij (dp_ij - delta_i)
//   dq_i = scale sum_j ds_ij k_j;  dk_j = scale sum_i ds_ij q_i;  dv_j = sum_i p_ij dO_i
//   dst [D*H + 2*D*HK, T] = dq | dk | dv; zero from token cu[S] on
//   src0 dO [D*H,T], src1 q, src2 k, src3 v, src4 out (dst of attn), src5 cu I32 [S+1]
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
__device__ __forceinline__ void load_query(const AttnArgs & a, const AttnPlace & p, int query, int head, float * lse, float * delta) {
    const int64_t token = p.first + query;
    const bool    used  = query < p.length;
    *lse                = used ? a.out.data[token * a.out.stride + a.D * a.H + head] * LOG2_E : 0.0f;
    *delta              = used ? a.delta[token * a.H + head] : 0.0f;
}

// grid: blocks of queries, heads, slices of the result
template <class E, int DP> __global__ void __launch_bounds__(AttnTile<E, DP>::THREADS) attn_back_queries(AttnArgs a) {
    using Tile         = AttnTile<E, DP>;
    constexpr int COLS = Tile::COLS_BACK, NT = COLS / 8, NO = Tile::SLICE / 8;
    STEER_DYNAMIC_SHARED(E, q);
    E * const       dO = q + Tile::ROWS * Tile::LD;
    E * const       k  = dO + Tile::ROWS * Tile::LD;
    E * const       v  = k + COLS * Tile::LD;
    const AttnPlace p  = attn_place(a.cu, a.S, blockIdx.x, Tile::ROWS, true);
    const int       L = p.length, head = blockIdx.y, kv = head / (a.H / a.HK), slice = blockIdx.z * Tile::SLICE;
    const int       warp = threadIdx.x / 32, row0 = p.t0 + warp * 16, row = row0 + threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const float     scale = a.scale * LOG2_E;
    if (L == 0) {
        return;
    }
    load_tile<E, DP, Tile::ROWS>(q, a.q.data + (p.first + p.t0) * a.q.stride + head * a.D, a.q.stride, L - p.t0, a.D, a.fours);
    load_tile<E, DP, Tile::ROWS>(dO, a.dO.data + (p.first + p.t0) * a.dO.stride + head * a.D, a.dO.stride, L - p.t0, a.D, a.fours);
    float lse[2], delta[2];
    load_query(a, p, row, head, &lse[0], &delta[0]);
    load_query(a, p, row + 8, head, &lse[1], &delta[1]);
    float dq[NO][4];
    clear(dq);
    const int end = p.t0 + Tile::ROWS < L ? p.t0 + Tile::ROWS : L;
    for (int j0 = 0; j0 < end; j0 += COLS) {
        __syncthreads();
        load_tile<E, DP, COLS>(k, a.k.data + (p.first + j0) * a.k.stride + kv * a.D, a.k.stride, L - j0, a.D, a.fours);
        load_tile<E, DP, COLS>(v, a.v.data + (p.first + j0) * a.v.stride + kv * a.D, a.v.stride, L - j0, a.D, a.fours);
        __syncthreads();
        if (j0 > row0 + 15) {
            continue;
        }
        float s[NT][4], ds[NT][4];
        clear(s);
        clear(ds);
        product_nt<DP>(s, q + warp * 16 * Tile::LD, k);
        product_nt<DP>(ds, dO + warp * 16 * Tile::LD, v);
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int   j    = j0 + n * 8 + 2 * t + i % 2;
                const bool  seen = j <= row + i / 2 * 8 && j < L;
                const float prob = seen ? exp2f(s[n][i] * scale - lse[i / 2]) : 0.0f;
                ds[n][i]         = prob * (ds[n][i] - delta[i / 2]);
            }
        }
        product_nn<DP>(dq, ds, k + slice);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (row + 8 * i < L) {
            store_row(a.dst.data + (p.first + row + 8 * i) * a.dst.stride + head * a.D, dq, i, a.scale, slice, a.D, a.fours_out);
        }
    }
}

// grid: blocks of keys, kv heads, slices of the result
template <class E, int DP> __global__ void __launch_bounds__(AttnTile<E, DP>::THREADS) attn_back_keys(AttnArgs a) {
    using Tile         = AttnTile<E, DP>;
    constexpr int COLS = Tile::COLS_BACK, NT = COLS / 8, NO = Tile::SLICE_KEYS / 8;
    STEER_DYNAMIC_SHARED(E, k);
    E * const       v  = k + Tile::ROWS * Tile::LD;
    E * const       q  = v + Tile::ROWS * Tile::LD;
    E * const       dO = q + COLS * Tile::LD;
    float * const   lse = (float *) (dO + COLS * Tile::LD), * const delta = lse + COLS; // of the queries
    const AttnPlace p = attn_place(a.cu, a.S, blockIdx.x, Tile::ROWS, false);
    const int       L = p.length, kv = blockIdx.y, group = a.H / a.HK, slice = blockIdx.z * Tile::SLICE_KEYS;
    const int       warp = threadIdx.x / 32, row0 = p.t0 + warp * 16, row = row0 + threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const float     scale = a.scale * LOG2_E;
    if (L == 0) {
        return;
    }
    load_tile<E, DP, Tile::ROWS>(k, a.k.data + (p.first + p.t0) * a.k.stride + kv * a.D, a.k.stride, L - p.t0, a.D, a.fours);
    load_tile<E, DP, Tile::ROWS>(v, a.v.data + (p.first + p.t0) * a.v.stride + kv * a.D, a.v.stride, L - p.t0, a.D, a.fours);
    float dk[NO][4], dv[NO][4];
    clear(dk);
    clear(dv);
    for (int head = kv * group; head < (kv + 1) * group; head++) {
        for (int i0 = p.t0; i0 < L; i0 += COLS) {
            __syncthreads();
            load_tile<E, DP, COLS>(q, a.q.data + (p.first + i0) * a.q.stride + head * a.D, a.q.stride, L - i0, a.D, a.fours);
            load_tile<E, DP, COLS>(dO, a.dO.data + (p.first + i0) * a.dO.stride + head * a.D, a.dO.stride, L - i0, a.D, a.fours);
            if (threadIdx.x < COLS) {
                load_query(a, p, i0 + threadIdx.x, head, lse + threadIdx.x, delta + threadIdx.x);
            }
            __syncthreads();
            if (i0 + COLS - 1 < row0) {
                continue; // these queries come before the warp's keys
            }
            float s[NT][4], ds[NT][4]; // rows are keys, columns queries
            clear(s);
            clear(ds);
            product_nt<DP>(s, k + warp * 16 * Tile::LD, q);
            product_nt<DP>(ds, v + warp * 16 * Tile::LD, dO);
#pragma unroll
            for (int n = 0; n < NT; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int  at = n * 8 + 2 * t + i % 2, query = i0 + at;
                    const bool seen = query >= row + i / 2 * 8 && query < L;
                    s[n][i]         = seen ? exp2f(s[n][i] * scale - lse[at]) : 0.0f;
                    ds[n][i]        = s[n][i] * (ds[n][i] - delta[at]);
                }
            }
            product_nn<DP>(dv, s, dO + slice);
            product_nn<DP>(dk, ds, q + slice);
        }
    }
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
    by_head_size<E>(a.D, [&](auto, auto padded) {
        constexpr int  DP     = decltype(padded)::value;
        using Tile            = AttnTile<E, DP>;
        const size_t   bytes  = 2 * (Tile::ROWS + Tile::COLS_BACK) * Tile::LD * sizeof(E);
        const unsigned blocks = (unsigned) attn_blocks(a, dst->ne[1], Tile::ROWS);
        launch(c, "attn_back_queries", attn_back_queries<E, DP>, dim3(blocks, (unsigned) a.H, attn_slices(a, Tile::SLICE)), Tile::THREADS, bytes, a);
        launch(c, "attn_back_keys", attn_back_keys<E, DP>, dim3(blocks, (unsigned) a.HK, attn_slices(a, Tile::SLICE_KEYS)), Tile::THREADS,
               bytes + 2 * Tile::COLS_BACK * sizeof(float), a);
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
    a.fours = a.fours && in_fours(dO);
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
