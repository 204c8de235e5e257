// Weights of any type to bf16 or f32, by the formulas of blocks.h: in one pass, without
// ggml-cuda's detour over fp16, whose range is too small for products of small scales.
//
// A thread makes eight consecutive values; a warp's 256 values lie side by side.

#include "blocks.h"
#include "device.h"
#include "product.h"

#include <algorithm>

namespace steer {
namespace cuda {
namespace {

__device__ __forceinline__ void store8(float * y, const float * v) {
    for (int j = 0; j < EIGHT; j += 4) {
        store<4>(y + j, Values<4>{ { v[j], v[j + 1], v[j + 2], v[j + 3] } });
    }
}

__device__ __forceinline__ void store8(bf16 * y, const float * v) {
    uint4 u;
    u.x = to_bf16x2(v[0], v[1]), u.y = to_bf16x2(v[2], v[3]), u.z = to_bf16x2(v[4], v[5]), u.w = to_bf16x2(v[6], v[7]);
    *(uint4 *) y = u;
}

template <class Type, class Block, class To> __global__ void unpack_blocks(const Block * x, To * y, int64_t eights) {
    const int64_t at = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (at < eights) {
        float v[EIGHT];
        Type::unpack(x + at / (Type::SIZE / EIGHT), (int) (at % (Type::SIZE / EIGHT)) * EIGHT, v);
        store8(y + at * EIGHT, v);
    }
}

__device__ __forceinline__ float value(float x) { return x; }
__device__ __forceinline__ float value(bf16 x) { return to_float(x); }
struct half16 {
    uint16_t bits;
};
__device__ __forceinline__ float value(half16 x) { return half_to_float(x.bits); }

template <class From, class To> __global__ void unpack_values(const From * x, To * y, int64_t n) {
    const int64_t i = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        put(y + i, value(x[i]));
    }
}

template <class Type, class Block, class To> void blocks(steer_cuda & c, const void * x, To * y, int64_t n) {
    const int64_t eights = n / EIGHT;
    launch(c, "unpack_blocks", unpack_blocks<Type, Block, To>, dim3((unsigned) ((eights + 255) / 256)), 256, 0,
           (const Block *) x, y, eights);
}

template <class From, class To> void items(steer_cuda & c, const void * x, To * y, int64_t n) {
    launch(c, "unpack_values", unpack_values<From, To>, dim3((unsigned) ((n + 255) / 256)), 256, 0, (const From *) x, y,
           n);
}

// False for a type without a kernel here.
template <class To> bool unpack_own(steer_cuda & c, ggml_type type, const void * x, To * y, int64_t n) {
    switch (type) {
        case GGML_TYPE_F32: items<float>(c, x, y, n); return true;
        case GGML_TYPE_F16: items<half16>(c, x, y, n); return true;
        case GGML_TYPE_BF16: items<bf16>(c, x, y, n); return true;
#define CASE(Type, block) \
        case GGML_TYPE_##Type: blocks<Type, block_##block>(c, x, y, n); return true;
        STEER_BLOCK_TYPES(CASE)
#undef CASE
        default: return false;
    }
}

bool has_kernel(ggml_type type) {
    switch (type) {
        case GGML_TYPE_F32:
        case GGML_TYPE_F16:
        case GGML_TYPE_BF16:
#define CASE(Type, block) case GGML_TYPE_##Type:
        STEER_BLOCK_TYPES(CASE)
#undef CASE
            return true;
        default: return false;
    }
}

// n values (whole rows) to BF16 or F32
void unpack(steer_cuda & c, ggml_type type, const void * x, ggml_type to, void * y, int64_t n) {
    if (!(to == GGML_TYPE_BF16 ? unpack_own(c, type, x, (bf16 *) y, n) : unpack_own(c, type, x, (float *) y, n))) {
        c.unpack_other(type, x, to, y, n);
    }
}

// Sends rows of a type as they are and unpacks them on the device, as many at a time as fit c.limits.weight_bytes.
void send_rows(steer_cuda & c, ggml_type type, const char * rows, int64_t K, int64_t N, float * dst) {
    const auto send = [&](void * to, const void * from, int64_t bytes) {
        if (c.measuring) {
            return;
        }
        check(cudaMemcpyAsync(to, from, (size_t) bytes, cudaMemcpyHostToDevice, c.stream),
              "copying rows to the device");
    };
    const int64_t row = (int64_t) ggml_row_size(type, K);
    if (type == GGML_TYPE_F32) {
        send(dst, rows, N * row);
        return;
    }
    const int64_t       most = std::min(N, std::max<int64_t>(1, (int64_t) c.limits.weight_bytes / row));
    const Scratch<char> packed(c, most * row); // the next part's copy waits on the stream for the kernel before it
    for (int64_t n = 0; n < N; n += most) {
        const int64_t part = std::min(most, N - n);
        send(packed, rows + n * row, part * row);
        unpack(c, type, packed, GGML_TYPE_F32, dst + n * K, part * K);
    }
}

// Rows at a time: all, or equal parts of at most c.limits.weight_bytes, in steps of 128.
int64_t rows_at_once(const steer_cuda & c, int64_t K, int64_t N, int64_t item) {
    const int64_t most = std::max<int64_t>(1, (int64_t) c.limits.weight_bytes / (K * item));
    if (most >= N) {
        return N;
    }
    const int64_t parts = (N + most - 1) / most, even = (N + parts - 1) / parts;
    return std::min(most, (even + 127) / 128 * 128);
}

} // namespace

Weights::Weights(steer_cuda & c, const ggml_tensor * W, ggml_type type, int64_t chunk) :
    c_(c),
    W_(W),
    type_(type),
    chunk_(W->type == type && !chunk ? W->ne[1]
                                     : std::min(chunk ? chunk : W->ne[1],
                                                rows_at_once(c, W->ne[0], W->ne[1], type == GGML_TYPE_BF16 ? 2 : 4))),
    unpacked_(c, W->type == type ? 0 : chunk_ * W->ne[0] * (type == GGML_TYPE_BF16 ? 2 : 4)) {
    require(ggml_is_contiguous(W) && W->ne[2] == 1 && W->ne[3] == 1, "W is not a contiguous matrix");
    require(steer_cuda_weight_type_ok(W->type, c), "W has a type that cannot be unpacked on this device");
}

Matrix Weights::rows(int64_t n0, int64_t n) {
    const char *  src = (const char *) W_->data + n0 * W_->nb[1];
    const int64_t K   = W_->ne[0];
    if (W_->type == type_) {
        return { src, K };
    }
    unpack(c_, W_->type, src, type_, unpacked_, n * K);
    return { unpacked_, K };
}

} // namespace cuda
} // namespace steer

void steer_cuda_unpack_rows(ggml_type type, const void * rows, int64_t row_values, int64_t n_rows, float * dst,
                            steer_cuda & c) {
    using namespace steer::cuda;
    const std::string shape = " [" + std::to_string(row_values) + ", " + std::to_string(n_rows) + "]";
    naming("unpack_rows f32" + shape + " of " + ggml_type_name(type) + shape, [&] {
        require(row_values > 0 && row_values % ggml_blck_size(type) == 0 && n_rows > 0, "not whole blocks");
        require(steer_cuda_weight_type_ok(type, c), "rows of a type that cannot be unpacked on this device");
        c.enter();
        send_rows(c, type, (const char *) rows, row_values, n_rows, dst);
    });
}

bool steer_cuda_weight_type_ok(ggml_type type, const steer_cuda & c) {
    return steer::cuda::has_kernel(type) || c.can_unpack_other(type);
}
