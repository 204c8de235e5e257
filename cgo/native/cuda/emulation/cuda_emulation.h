// CUDA on the CPU, for tests: what the kernels of this folder use of CUDA's language and
// runtime, for g++. One fiber a CUDA thread, all of a block on one OS thread.
//
// The scheduler lets each warp run alone to its next block barrier, so that a missing
// __syncthreads shows as a wrong result (or NaN) under at least one of three orders of
// warps, lanes and blocks. It throws emulation::Failure, with kernel and block, for what
// hardware answers with garbage or a hang:
//   a barrier or warp function reached by a part of the threads, or at different lines;
//   a barrier after some threads have returned;
//   a launch beyond the limits of any GPU from compute capability 8.0 on.
// Dynamic shared memory is NaN before it is written, and has its exact size for ASan.
//
// Not seen: races in global memory, a missing __syncwarp that both lane orders hide, bank
// conflicts, the speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

namespace emulation {

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Schedule { forward, reverse, random };
void set_schedule(Schedule s, unsigned seed = 1);

struct Thread {
    dim3 index;
    int  linear;
};
extern Thread * current;
extern dim3     block_index, block_dim, grid_dim;

// Runs thread once for each thread of the grid, with so many bytes of dynamic shared memory. kernel identifies
// allow_shared's entry.
void launch(const char * name, const void * kernel, dim3 grid, dim3 block, size_t bytes,
            const std::function<void()> & thread);
// Dynamic shared memory above 48 KiB must be asked for, as by cudaFuncSetAttribute.
void   allow_shared(const void * kernel, size_t bytes);
void * dynamic_shared();

void barrier(int line);

// A warp function: every lane deposits `in`, waits for the others, and reads what it likes.
constexpr int SLOT_BYTES = 48;
void *        deposit(int line);   // this lane's slot; then wait()
void          wait();
const void *  deposited(int lane); // after wait(), before the next deposit

template <class In, class F> auto collective(const In & in, int line, F f) {
    static_assert(sizeof(In) <= SLOT_BYTES, "enlarge SLOT_BYTES");
    std::memcpy(deposit(line), &in, sizeof in);
    wait();
    return f([](int lane) {
        In other;
        std::memcpy(&other, deposited(lane), sizeof other);
        return other;
    });
}

inline int lane() { return current->linear & 31; }

} // namespace emulation

#define threadIdx (emulation::current->index)
#define blockIdx  (emulation::block_index)
#define blockDim  (emulation::block_dim)
#define gridDim   (emulation::grid_dim)

#define __syncthreads() emulation::barrier(__LINE__)

inline void __syncwarp(unsigned = ~0u, int line = __builtin_LINE()) {
    emulation::collective(0, line, [](auto) { return 0; });
}

template <class T> T __shfl_sync(unsigned, T v, int from, int = 32, int line = __builtin_LINE()) {
    return emulation::collective(v, line, [=](auto of) { return of(from & 31); });
}

template <class T> T __shfl_xor_sync(unsigned, T v, int mask, int = 32, int line = __builtin_LINE()) {
    const int me = emulation::lane();
    return emulation::collective(v, line, [=](auto of) { return of(me ^ mask); });
}

template <class T> T __shfl_down_sync(unsigned, T v, int by, int = 32, int line = __builtin_LINE()) {
    const int me = emulation::lane();
    return emulation::collective(v, line, [=](auto of) { return of(me + by < 32 ? me + by : me); });
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

// ---------------------------------------------------------------------------------
// Runtime: a "device" whose memory is the host's.

typedef int           cudaError_t;
constexpr cudaError_t cudaSuccess = 0;
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToDevice = 3 };
typedef struct CUstream_st * cudaStream_t;

inline cudaError_t  cudaGetLastError() { return cudaSuccess; }
inline const char * cudaGetErrorString(cudaError_t) { return "no error"; }

inline cudaError_t cudaMemsetAsync(void * p, int value, size_t n, cudaStream_t) {
    std::memset(p, value, n);
    return cudaSuccess;
}

inline cudaError_t cudaMemcpyAsync(void * to, const void * from, size_t n, cudaMemcpyKind, cudaStream_t) {
    std::memcpy(to, from, n);
    return cudaSuccess;
}

// ---------------------------------------------------------------------------------
// Instructions of sm_80 that gpu.h names, by the tables of the PTX manual ("Matrix
// fragments for mma.m16n8k16", "ldmatrix").

namespace emulation {

float    bf16_to_float(uint16_t x);
uint16_t float_to_bf16(float x); // to nearest even
float    half_to_float(uint16_t x);

// c += A B, A 16x16 row-major, B 16x8 column-major, bf16; sums in f32.
void mma_m16n8k16(float c[4], const uint32_t a[4], const uint32_t b[2], int line);
// Four 8x8 matrices of 16-bit items; lane 8i + j gives the address of row j of matrix i.
void ldmatrix_x4(uint32_t r[4], const void * row, bool trans, int line);
// cp.async: `bytes` from global to shared memory, or zeros without `valid`. Nothing is copied before the
// thread waits for the group, which is the latest moment that hardware may choose.
void copy_async(void * to, const void * from, int bytes, bool valid);
void copy_commit();
void copy_wait(int groups); // all but the last `groups` groups are there

} // namespace emulation
