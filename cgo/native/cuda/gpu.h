// The few words that CUDA and its emulation on the CPU (emulation/) spell differently, so
// that one source serves nvcc and g++.
#pragma once

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "emulation/cuda_emulation.h"
#endif

#include <cstdint>

namespace steer {
namespace cuda {

// A bfloat16 in memory.
struct bf16 {
    uint16_t bits;
};

// Dynamic shared memory, 16-byte aligned.
#ifdef __CUDACC__
#define STEER_DYNAMIC_SHARED(T, name)                                       \
    extern __shared__ __align__(16) unsigned char steer_dynamic_shared[]; \
    T * name = (T *) steer_dynamic_shared
#else
#define STEER_DYNAMIC_SHARED(T, name) T * name = (T *) emulation::dynamic_shared()
#endif

__device__ __forceinline__ float to_float(bf16 x) {
#ifdef __CUDACC__
    return __uint_as_float((unsigned) x.bits << 16);
#else
    return emulation::bf16_to_float(x.bits);
#endif
}

__device__ __forceinline__ float to_float(float x) {
    return x;
}

// To nearest even.
__device__ __forceinline__ bf16 to_bf16(float x) {
    bf16 r;
#ifdef __CUDACC__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
#else
    r.bits = emulation::float_to_bf16(x);
#endif
    return r;
}

// Two bfloat16, lo in the lower half.
__device__ __forceinline__ uint32_t to_bf16x2(float lo, float hi) {
#ifdef __CUDACC__
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#else
    return emulation::float_to_bf16(lo) | (uint32_t) emulation::float_to_bf16(hi) << 16;
#endif
}

// An IEEE half.
__device__ __forceinline__ float half_to_float(uint16_t x) {
#ifdef __CUDACC__
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x));
    return r;
#else
    return emulation::half_to_float(x);
#endif
}

// c += A B on the tensor cores: A 16x16 row-major, B 16x8 column-major, bf16, sums in f32.
// With g = lane/4 and t = lane%4 a lane holds
//   A: a0 (g, 2t..), a1 (g+8, 2t..), a2 (g, 2t+8..), a3 (g+8, 2t+8..)    two columns each
//   B: b0 (2t.., g), b1 (2t+8.., g)                                      two rows each
//   C: c0, c1 (g, 2t..), c2, c3 (g+8, 2t..)
__device__ __forceinline__ void mma_16x8x16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    const uint32_t b[2] = { b0, b1 };
    emulation::mma_m16n8k16(c, a, b, __LINE__);
#endif
}

// Four 8x8 matrices of 16-bit items from shared memory: lane 8i + j points at row j of
// matrix i; r[i] gets items (lane/4, 2 (lane%4)..) of matrix i.
__device__ __forceinline__ void load_matrices(uint32_t r[4], const bf16 * row) {
#ifdef __CUDACC__
    const unsigned address = (unsigned) __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
#else
    emulation::ldmatrix_x4(r, row, false, __LINE__);
#endif
}

// The same of the transposed matrices.
__device__ __forceinline__ void load_matrices_transposed(uint32_t r[4], const bf16 * row) {
#ifdef __CUDACC__
    const unsigned address = (unsigned) __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
#else
    emulation::ldmatrix_x4(r, row, true, __LINE__);
#endif
}

// 16 or 4 bytes from global to shared memory while the thread goes on, or zeros unless valid; `from` must
// be an address inside the array either way. They are there after copy_wait and a barrier.
template <int BYTES> __device__ __forceinline__ void copy_async(void * to, const void * from, bool valid) {
    static_assert(BYTES == 4 || BYTES == 16, "what cp.async can do");
#ifdef __CUDACC__
    const unsigned address = (unsigned) __cvta_generic_to_shared(to);
    const int      n       = valid ? BYTES : 0;
    if constexpr (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(n) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(n) : "memory");
    }
#else
    emulation::copy_async(to, from, BYTES, valid);
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void copy_commit() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulation::copy_commit();
#endif
}

// Waits for all groups but the last GROUPS.
template <int GROUPS> __device__ __forceinline__ void copy_wait() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#else
    emulation::copy_wait(GROUPS);
#endif
}

} // namespace cuda
} // namespace steer
