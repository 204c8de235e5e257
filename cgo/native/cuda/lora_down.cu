// lora_down: h = s A^T drop(x).
//   h[j,t] = f0 * sum_k A[k,j] drop(x)[k,t]
//   dst h [r,T]; src0 A f32 [K,r], src1 x [K,T] of h's type, src2 seeds I32 [2,T] (only with f1 = p > 0)
//
// In bf16 and for ranks up to 64 by a kernel of its own: what costs is reading x, once, and cuBLAS takes
// several times as long for so narrow a product.

#include "device.h"
#include "lora.h"

namespace steer {
namespace cuda {
namespace {

__global__ void store_bf16(const float * x, Rows<bf16> y, int r, int64_t n) {
    const int64_t i = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y.data[i / r * y.stride + i % r] = to_bf16(x[i]);
    }
}

// Blocks of 16 tokens; the warps share out K, in pieces of 32, and add up in their order. A lane with
// g = lane/4, t = lane%4 reads eight consecutive values of rows g and g+8 of x and of columns 8n + g of A.
// Which of the sum's terms these are makes no difference as long as they are the same for both.
constexpr int NARROW_WARPS = 8, NARROW_TOKENS = 16;

__device__ __forceinline__ uint4 eight(const bf16 * p, bool there) {
    return there ? *(const uint4 *) p : uint4{ 0, 0, 0, 0 };
}

// y[j,t] = alpha sum_k A[k,j] x[k,t]; NT tiles of eight j
template <int NT, class To>
__global__ void __launch_bounds__(NARROW_WARPS * 32)
    narrow_product(Rows<const bf16> x, Rows<const bf16> A, Rows<To> y, int K, int r, int T, float alpha) {
    __shared__ float parts[NARROW_WARPS][NARROW_TOKENS][NT * 8];
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, t0 = blockIdx.x * NARROW_TOKENS;
    const bool       low = t0 + g < T, high = t0 + g + 8 < T;
    const bf16 *     x0 = x.data + (low ? t0 + g : 0) * x.stride, * x1 = x.data + (high ? t0 + g + 8 : 0) * x.stride;
    float            acc[NT][4] = {};
#pragma unroll 4
    for (int k0 = warp * 32; k0 < K; k0 += NARROW_WARPS * 32) {
        const int   k = k0 + t * 8;
        const uint4 a = eight(x0 + k, low && k < K), b = eight(x1 + k, high && k < K);
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const int      j     = n * 8 + g;
            const uint4    w     = eight(A.data + j * A.stride + k, j < r && k < K);
            const uint32_t lo[4] = { a.x, b.x, a.y, b.y }, hi[4] = { a.z, b.z, a.w, b.w };
            mma_16x8x16(acc[n], lo, w.x, w.y);
            mma_16x8x16(acc[n], hi, w.z, w.w);
        }
    }
#pragma unroll
    for (int n = 0; n < NT; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            parts[warp][g + i / 2 * 8][n * 8 + 2 * t + i % 2] = acc[n][i];
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < NARROW_TOKENS * NT * 8; i += NARROW_WARPS * 32) {
        const int token = i / (NT * 8), j = i % (NT * 8);
        float     sum = 0;
        for (int w = 0; w < NARROW_WARPS; w++) {
            sum += parts[w][token][j];
        }
        if (t0 + token < T && j < r) {
            put(y.data + (t0 + token) * y.stride + j, alpha * sum);
        }
    }
}

// Whether the operand's rows can be read eight values at a time.
bool in_eights(const Matrix & m) {
    return (uintptr_t) m.data % 16 == 0 && m.ld % 8 == 0;
}

template <class To>
void narrow(steer_cuda & c, const Matrix & x, const Matrix & A, Rows<To> y, int64_t K, int64_t r, int64_t T,
            float alpha) {
    const auto run = [&](auto kernel) {
        launch(c, "narrow_product", kernel, dim3((unsigned) ((T + NARROW_TOKENS - 1) / NARROW_TOKENS)),
               NARROW_WARPS * 32, 0, Rows<const bf16>{ (const bf16 *) x.data, x.ld },
               Rows<const bf16>{ (const bf16 *) A.data, A.ld }, y, (int) K, (int) r, (int) T, alpha);
    };
    if (r <= 8) {
        run(narrow_product<1, To>);
    } else if (r <= 16) {
        run(narrow_product<2, To>);
    } else if (r <= 32) {
        run(narrow_product<4, To>);
    } else {
        run(narrow_product<8, To>);
    }
}

} // namespace

void product_to(steer_cuda & c, ggml_tensor * dst, ggml_type type, bool trans_a, int64_t k, float alpha,
                const Matrix & A, const Matrix & B) {
    const int64_t m = dst->ne[0], T = dst->ne[1];
    if (dst->type == GGML_TYPE_F32) {
        const Rows<float> y = rows_of<float>(dst);
        product(c, type, trans_a, false, m, T, k, alpha, A, B, 0, y.data, y.stride);
        return;
    }
    Scratch<float> wide(c, m * T);
    product(c, type, trans_a, false, m, T, k, alpha, A, B, 0, wide, m);
    launch(c, "store_bf16", store_bf16, dim3((unsigned) ((m * T + 255) / 256)), 256, 0, (const float *) wide,
           rows_of<bf16>(dst), (int) m, m * T);
}

void lora_down(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     A = dst->src[0];
    const ggml_tensor *     x = dst->src[1];
    const steer_op_params & p = params_of(dst);
    const int64_t           K = A->ne[0], r = A->ne[1], T = x->ne[1];
    require_f32(A, K, r, "A is not f32");
    require_packed(x, K, T, "x");
    require_packed(dst, r, T, "dst");
    const InType  down(c, A, x->type);
    const Dropped in(c, x, dst->src[2], p);
    if (x->type == GGML_TYPE_BF16 && r <= 64 && K % 8 == 0 && in_eights(in.matrix()) && in_eights(down.matrix())) {
        by_type(dst, [&](auto type) {
            narrow(c, in.matrix(), down.matrix(), rows_of<decltype(type)>(dst), K, r, T, p.f[0]);
        });
        return;
    }
    product_to(c, dst, x->type, true, K, p.f[0], down.matrix(), in.matrix());
}

} // namespace cuda
} // namespace steer
