// A steer_cuda for a backend of ggml-cuda: its stream, and of our own a cuBLAS handle (ggml's
// multiplies f32 in TF32) and a pool (ggml's gives no error that can be told). The only file that
// knows ggml-cuda's internals.

#include "launch.h"
#include "pool.h"

#include "ggml-backend-impl.h"
#include "ggml-cuda/common.cuh"
#include "ggml-cuda/convert.cuh"

namespace steer {
namespace cuda {
namespace {

void check_cublas(cublasStatus_t status, const char * what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw steer_cuda_error(std::string(what) + ": cuBLAS error: " + cublasGetStatusString(status),
                               status == CUBLAS_STATUS_ALLOC_FAILED);
    }
}

// The device's memory as the pool takes it.
struct DeviceMemory {
    void * obtain(size_t size) {
        void *            p      = nullptr;
        const cudaError_t status = cudaMalloc(&p, size);
        if (status != cudaSuccess) {
            (void) cudaGetLastError(); // the next check is not to see it
            throw steer_cuda_error(std::to_string(size) + " bytes of scratch memory: " + cudaGetErrorString(status),
                                   status == cudaErrorMemoryAllocation);
        }
        return p;
    }
    void give_back(void * p, size_t) noexcept { (void) cudaFree(p); } // waits for the device
};

constexpr size_t UNIT = (size_t) 2 << 20; // what cudaMalloc gives out

class Context : public steer_cuda {
  public:
    explicit Context(ggml_backend_cuda_context & ggml) : device_(ggml.device) {
        enter();
        stream = ggml.stream();
        check_cublas(cublasCreate(&cublas_), "cublasCreate");
        try {
            check_cublas(cublasSetStream(cublas_, stream), "cublasSetStream");
        } catch (...) {
            cublasDestroy(cublas_);
            throw;
        }
    }

    ~Context() override {
        (void) cudaSetDevice(device_);
        (void) cudaStreamSynchronize(stream);
        (void) cublasDestroy(cublas_);
    }

    void enter() override { check(cudaSetDevice(device_), "cudaSetDevice"); }

    void gemm(const steer_gemm & g) override {
        require(g.m <= INT32_MAX && g.n <= INT32_MAX && g.k <= INT32_MAX && g.lda <= INT32_MAX && g.ldb <= INT32_MAX &&
                    g.ldc <= INT32_MAX,
                "a matrix too large for cuBLAS");
        const bool         bf16   = g.type == GGML_TYPE_BF16;
        const cudaDataType type   = bf16 ? CUDA_R_16BF : CUDA_R_32F,
                           type_c = g.type_c == GGML_TYPE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
        // pedantic: neither TF32 nor another short cut
        const auto compute = bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC;
        check_cublas(cublasGemmEx(cublas_, g.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, g.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                  (int) g.m, (int) g.n, (int) g.k, &g.alpha, g.A, type, (int) g.lda, g.B, type,
                                  (int) g.ldb, &g.beta, g.C, type_c, (int) g.ldc, compute, CUBLAS_GEMM_DEFAULT),
                     "cublasGemmEx");
    }

    void unpack_other(ggml_type type, const void * src, ggml_type to, void * dst, int64_t n) override {
        // ggml's kernels take 256 at a time
        require(can_unpack_other(type) && n % 256 == 0, "weights of this type and shape cannot be unpacked");
        if (to == GGML_TYPE_F32) {
            ggml_get_to_fp32_cuda(type)(src, (float *) dst, n, stream);
        } else {
            Scratch<half> narrow(*this, n);
            ggml_get_to_fp16_cuda(type)(src, narrow, n, stream);
            ggml_get_to_bf16_cuda(GGML_TYPE_F16)((half *) narrow, (nv_bfloat16 *) dst, n, stream);
        }
        check(cudaGetLastError(), "ggml-cuda's convert");
    }

    bool can_unpack_other(ggml_type type) const override {
        return ggml_get_to_fp16_cuda(type) != nullptr && ggml_get_to_fp32_cuda(type) != nullptr;
    }

    void * acquire(size_t bytes) override { return pool_.acquire(bytes); }
    void   release(void * p) noexcept override { pool_.release(p); }
    void   reserve(size_t bytes) override { pool_.reserve(bytes); }
    size_t pool_bytes() const override { return pool_.held(); }
    size_t peak_bytes() const override { return pool_.peak(); }

  private:
    int                device_;
    cublasHandle_t     cublas_ = nullptr;
    Pool<DeviceMemory> pool_{ {}, UNIT };
};

} // namespace
} // namespace cuda
} // namespace steer

std::unique_ptr<steer_cuda> steer_cuda_open(ggml_backend * backend) {
    return std::unique_ptr<steer_cuda>(new steer::cuda::Context(*(ggml_backend_cuda_context *) backend->context));
}
