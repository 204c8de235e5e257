// platform.cpp: platform.h on CUDA.
#include "platform.h"

#include "ggml-cuda.h"

#include <cuda_runtime.h>

namespace steer {
namespace platform {

const char * const archs = STEER_CUDA_ARCHS;

namespace {
void check(cudaError_t status, const char * what) {
    if (status != cudaSuccess) {
        throw steer_cuda_error(std::string("CUDA error: ") + cudaGetErrorString(status) + " (" + what + ")",
                               status == cudaErrorMemoryAllocation);
    }
}
} // namespace

struct access::hold {};
access::access()  = default;
access::~access() = default;

int device_count() { return ggml_backend_cuda_get_device_count(); }

ggml_backend_dev_t device(int index) { return ggml_backend_reg_dev_get(ggml_backend_cuda_reg(), index); }

int compute_capability(int index) {
    int major = 0, minor = 0;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) != cudaSuccess) {
        (void) cudaGetLastError();
        return 0;
    }
    return 10 * major + minor;
}

size_t most_bytes(int) { return 0; } // CUDA tells what is free at the moment, no more

ggml_backend_t backend(int index) { return ggml_backend_cuda_init(index); }

std::unique_ptr<steer_cuda> open(ggml_backend_t backend) { return steer_cuda_open(backend); }

void synchronize(steer_cuda & c) { check(cudaStreamSynchronize(c.stream), "waiting for the stream"); }

void fetch(void * dst, const void * device_src, size_t n, steer_cuda & c) {
    check(cudaMemcpyAsync(dst, device_src, n, cudaMemcpyDeviceToHost, c.stream), "copying to the host");
    synchronize(c);
}

} // namespace platform
} // namespace steer
