// The emulator itself: what it must refuse, and the two instructions of the tensor cores.

#include "../gpu.h"
#include "../launch.h"
#include "cuda_harness.h"

#include <cmath>

using namespace steer::cuda;

namespace test {
namespace {

using Item = steer::cuda::bf16; // test::bf16 is a function

// In every test a barrier is missing, skipped or wrong.
void missing_barrier(float * out) {
    STEER_DYNAMIC_SHARED(float, x);
    x[threadIdx.x] = (float) threadIdx.x;
    out[threadIdx.x] = x[(threadIdx.x + 32) % 64];
}

void partial_warp(float * out) {
    if (threadIdx.x < 16) {
        *out = __shfl_xor_sync(~0u, *out, 1);
    }
}

void divergent_warp(float * out) {
    if (threadIdx.x < 16) {
        *out = __shfl_xor_sync(~0u, *out, 1);
    } else {
        *out = __shfl_xor_sync(~0u, *out, 2);
    }
}

void early_return(float *) {
    if (threadIdx.x >= 32) {
        return;
    }
    __syncthreads();
}

void divergent_barrier(float *) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

void unwritten(float * out) {
    STEER_DYNAMIC_SHARED(float, x);
    *out = x[threadIdx.x];
}

std::string failure(void (*kernel)(float *), int threads, size_t shared) {
    float value[64] = {};
    try {
        emulation::launch("kernel", (const void *) kernel, dim3(1), dim3(threads), shared, [&] { kernel(value); });
    } catch (const emulation::Failure & e) {
        return e.what();
    }
    return "";
}

bool says(const std::string & what, const char * word) { return what.find(word) != std::string::npos; }

void refusals() {
    expect("part of a warp", says(failure(partial_warp, 32, 0), "part of the warp"));
    expect("two warp functions", says(failure(divergent_warp, 32, 0), "different lines"));
    expect("early return", says(failure(early_return, 64, 0), "returned"));
    expect("two barriers", says(failure(divergent_barrier, 64, 0), "different barriers"));
    expect("half a warp", says(failure(unwritten, 48, 1024), "whole warps"));
    expect("too many threads", says(failure(unwritten, 2048, 8192), "whole warps"));
    expect("too much shared memory", says(failure(unwritten, 32, 50 << 10), "shared memory"));
    float value = 0;
    emulation::launch("kernel", (const void *) unwritten, dim3(1), dim3(32), 128, [&] { unwritten(&value); });
    expect("unwritten shared memory is NaN", std::isnan(value));
    bool seen = false;
    for (const auto s : { emulation::Schedule::forward, emulation::Schedule::reverse, emulation::Schedule::random }) {
        emulation::set_schedule(s);
        float out[64];
        emulation::launch("kernel", (const void *) missing_barrier, dim3(1), dim3(64), 256,
                          [&] { missing_barrier(out); });
        for (float x : out) {
            seen = seen || std::isnan(x);
        }
    }
    expect("a missing barrier shows", seen);
}

// One warp: C = A B^T by fragments loaded from shared memory, once as [n][k] and once as [k][n].
void mma_kernel(const Item * A, const Item * B, float * C, bool transposed) {
    STEER_DYNAMIC_SHARED(Item, a); // [16][24], then b [16][24]
    Item *    b    = a + 16 * 24;
    const int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) {
        a[i / 16 * 24 + i % 16] = A[i];
        b[transposed ? i % 16 * 24 + i / 16 : i / 16 * 24 + i % 16] = B[i]; // B [n][k]
    }
    __syncthreads();
    uint32_t fa[4], fb[4];
    load_matrices(fa, a + lane % 16 * 24 + lane / 16 * 8);
    if (transposed) {
        load_matrices_transposed(fb, b + (lane % 8 + lane / 8 % 2 * 8) * 24 + lane / 16 * 8);
    } else {
        load_matrices(fb, b + (lane % 8 + lane / 16 * 8) * 24 + lane / 8 % 2 * 8);
    }
    float c[2][4] = {};
    mma_16x8x16(c[0], fa, fb[0], fb[1]);
    mma_16x8x16(c[1], fa, fb[2], fb[3]);
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < 4; i++) {
            C[(lane / 4 + i / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + i % 2] = c[n][i];
        }
    }
}

void tensor_cores() {
    for (bool transposed : { false, true }) {
        std::vector<Item>   A(256), B(256);
        std::vector<double> want(256);
        for (int i = 0; i < 256; i++) {
            A[i].bits = emulation::float_to_bf16((float) uniform());
            B[i].bits = emulation::float_to_bf16((float) uniform());
        }
        for (int m = 0; m < 16; m++) {
            for (int n = 0; n < 16; n++) {
                for (int k = 0; k < 16; k++) {
                    want[m * 16 + n] += (double) to_float(A[m * 16 + k]) * to_float(B[n * 16 + k]);
                }
            }
        }
        std::vector<float> C(256);
        emulation::launch("mma", (const void *) mma_kernel, dim3(1), dim3(32), 2 * 16 * 24 * 2,
                          [&] { mma_kernel(A.data(), B.data(), C.data(), transposed); });
        check("mma from shared memory", std::vector<double>(C.begin(), C.end()), want, 1e-6);
    }
}

void conversions() {
    bool ok = true;
    for (int i = 0; i < 2000; i++) {
        const float x = (float) (uniform() * std::pow(10, below(60) - 30));
        ok            = ok && emulation::bf16_to_float(emulation::float_to_bf16(x)) == bf16(x);
    }
    expect("float to bf16", ok);
    for (int i = 0; i < 65536; i++) {
        const float a = emulation::half_to_float((uint16_t) i), b = ggml_fp16_to_fp32((ggml_fp16_t) i);
        ok = ok && (a == b || (std::isnan(a) && std::isnan(b)));
    }
    expect("half to float", ok);
}

} // namespace

void test_emulation() {
    refusals();
    tensor_cores();
    conversions();
}

} // namespace test
