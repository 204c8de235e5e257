// Device side helpers: vectors of four, sums over warps and blocks.
#pragma once

#include "gpu.h"

namespace steer {
namespace cuda {

// V consecutive values in registers; V is 4 (one access) or 1.
template <int V> struct Values {
    float v[V];
};

template <int V> __device__ __forceinline__ Values<V> load(const float * p) {
    Values<V> r;
    if constexpr (V == 4) {
        const float4 x = *(const float4 *) p;
        r.v[0] = x.x, r.v[1] = x.y, r.v[2] = x.z, r.v[3] = x.w;
    } else {
        r.v[0] = *p;
    }
    return r;
}

template <int V> __device__ __forceinline__ Values<V> load(const bf16 * p) {
    Values<V> r;
    if constexpr (V == 4) {
        const uint2 x = *(const uint2 *) p;
        r.v[0] = to_float(bf16{ (uint16_t) x.x }), r.v[1] = to_float(bf16{ (uint16_t) (x.x >> 16) });
        r.v[2] = to_float(bf16{ (uint16_t) x.y }), r.v[3] = to_float(bf16{ (uint16_t) (x.y >> 16) });
    } else {
        r.v[0] = to_float(*p);
    }
    return r;
}

template <int V> __device__ __forceinline__ void store(float * p, const Values<V> & x) {
    if constexpr (V == 4) {
        float4 y;
        y.x = x.v[0], y.y = x.v[1], y.z = x.v[2], y.w = x.v[3];
        *(float4 *) p = y;
    } else {
        *p = x.v[0];
    }
}

template <int V> __device__ __forceinline__ void store(bf16 * p, const Values<V> & x) {
    if constexpr (V == 4) {
        uint2 y;
        y.x = to_bf16x2(x.v[0], x.v[1]), y.y = to_bf16x2(x.v[2], x.v[3]);
        *(uint2 *) p = y;
    } else {
        *p = to_bf16(x.v[0]);
    }
}

__device__ __forceinline__ void put(float * p, float x) { *p = x; }
__device__ __forceinline__ void put(bf16 * p, float x) { *p = to_bf16(x); }

template <class T> __device__ __forceinline__ T warp_sum(T x) {
    for (int o = 16; o > 0; o >>= 1) {
        x += __shfl_xor_sync(~0u, x, o);
    }
    return x;
}

// Sum over a block of whole warps, the same bits in every thread. All threads must call it;
// the first barrier also protects the partial sums of the call before.
template <class T> __device__ __forceinline__ T block_sum(T x) {
    __shared__ T partial[32];
    const int    warps = blockDim.x / 32;
    x                  = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        partial[threadIdx.x / 32] = x;
    }
    __syncthreads();
    T sum = 0;
    for (int i = 0; i < warps; i++) {
        sum += partial[i];
    }
    return sum;
}

} // namespace cuda
} // namespace steer
