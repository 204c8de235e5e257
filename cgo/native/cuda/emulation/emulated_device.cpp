#include "emulated_device.h"

#include "cuda_emulation.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace {

// op(M) as f32, [rows][depth] or, with `columns`, [columns][depth].
std::vector<float> widened(const steer_gemm & g, const void * data, int64_t ld, bool depth_first, int64_t n) {
    std::vector<float> out((size_t) (n * g.k));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t l = 0; l < g.k; l++) {
            const int64_t at = depth_first ? i * ld + l : l * ld + i;
            out[i * g.k + l] = g.type == GGML_TYPE_BF16 ? emulation::bf16_to_float(((const uint16_t *) data)[at])
                                                        : ((const float *) data)[at];
        }
    }
    return out;
}

} // namespace

void EmulatedDevice::gemm(const steer_gemm & g) {
    // What cuBLAS refuses.
    const bool bad = g.m < 1 || g.n < 1 || g.k < 1 || g.lda < (g.trans_a ? g.k : g.m) ||
                     g.ldb < (g.trans_b ? g.n : g.k) || g.ldc < g.m || g.m > INT32_MAX || g.n > INT32_MAX ||
                     g.k > INT32_MAX || (g.type != GGML_TYPE_F32 && g.type != GGML_TYPE_BF16) ||
                     (g.type_c != GGML_TYPE_F32 && (g.type_c != GGML_TYPE_BF16 || g.type != GGML_TYPE_BF16));
    if (bad) {
        throw steer_cuda_error("gemm: bad sizes");
    }
    const std::vector<float> a = widened(g, g.A, g.lda, g.trans_a, g.m), b = widened(g, g.B, g.ldb, !g.trans_b, g.n);
    for (int64_t j = 0; j < g.n; j++) {
        for (int64_t i = 0; i < g.m; i++) {
            const float * x = a.data() + i * g.k;
            const float * y = b.data() + j * g.k;
            double        s = 0;
            for (int64_t l = 0; l < g.k; l++) {
                s += (double) x[l] * y[l];
            }
            const int64_t at = j * g.ldc + i;
            if (g.type_c == GGML_TYPE_BF16) {
                uint16_t & c = ((uint16_t *) g.C)[at];
                const double old = g.beta == 0 ? 0 : (double) g.beta * emulation::bf16_to_float(c);
                c                = emulation::float_to_bf16((float) (g.alpha * s + old));
            } else {
                float & c = ((float *) g.C)[at];
                c         = (float) (g.alpha * s + (g.beta == 0 ? 0 : (double) g.beta * c)); // beta = 0 does not read C
            }
        }
    }
}

void EmulatedDevice::unpack_other(ggml_type type, const void * src, ggml_type to, void * dst, int64_t n) {
    if (!can_unpack_other(type) || n % 256 != 0) { // as context.cu
        throw steer_cuda_error("weights of this type and shape cannot be unpacked");
    }
    if (to != GGML_TYPE_F32) { // ggml-cuda's detour over fp16, of which context.cu keeps the values
        release(acquire((size_t) n * 2));
    }
    std::vector<float> x((size_t) n);
    ggml_get_type_traits(type)->to_float(src, x.data(), n);
    for (int64_t i = 0; i < n; i++) {
        if (to == GGML_TYPE_BF16) {
            // ggml-cuda's detour
            ((uint16_t *) dst)[i] = emulation::float_to_bf16(ggml_fp16_to_fp32(ggml_fp32_to_fp16(x[i])));
        } else {
            ((float *) dst)[i] = x[i];
        }
    }
}

// The types that both ggml_get_to_fp16_cuda and ggml_get_to_fp32_cuda know (ggml-cuda/convert.cu). There is a
// to_float for more of them, and a test that used it would pass where a GPU fails.
bool EmulatedDevice::can_unpack_other(ggml_type type) const {
    switch (type) {
        case GGML_TYPE_Q4_0:
        case GGML_TYPE_Q4_1:
        case GGML_TYPE_Q5_0:
        case GGML_TYPE_Q5_1:
        case GGML_TYPE_Q8_0:
        case GGML_TYPE_Q2_K:
        case GGML_TYPE_Q3_K:
        case GGML_TYPE_Q4_K:
        case GGML_TYPE_Q5_K:
        case GGML_TYPE_Q6_K:
        case GGML_TYPE_IQ2_XXS:
        case GGML_TYPE_IQ2_XS:
        case GGML_TYPE_IQ2_S:
        case GGML_TYPE_IQ3_XXS:
        case GGML_TYPE_IQ3_S:
        case GGML_TYPE_IQ1_S:
        case GGML_TYPE_IQ1_M:
        case GGML_TYPE_IQ4_NL:
        case GGML_TYPE_IQ4_XS:
        case GGML_TYPE_MXFP4:
        case GGML_TYPE_BF16: return true;
        default: return false;
    }
}

void * EmulatedDevice::acquire(size_t bytes) {
    if (in_use_ + bytes > memory) {
        throw steer_cuda_error("out of memory: " + std::to_string(bytes) + " bytes of scratch memory", true);
    }
    void * p = nullptr;
    if (posix_memalign(&p, 256, bytes) != 0) {
        throw steer_cuda_error("out of memory", true);
    }
    std::memset(p, 0xFF, bytes); // NaN
    pieces_.push_back({ p, steer::cuda::piece_bytes(bytes) });
    in_use_ += pieces_.back().size;
    peak_ = std::max(peak_, in_use_);
    return p;
}

void EmulatedDevice::release(void * p) noexcept {
    const auto it = std::find_if(pieces_.begin(), pieces_.end(), [=](const Piece & piece) { return piece.p == p; });
    if (it != pieces_.end()) {
        in_order = in_order && it + 1 == pieces_.end();
        in_use_ -= it->size;
        pieces_.erase(it);
        std::free(p);
    }
}
