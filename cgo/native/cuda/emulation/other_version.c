// other_version.c: what a program finds that loads the library of another version, for tests.
#include "cuda_api.h"

const steer_cuda_api * steer_cuda_entry(void) {
    static steer_cuda_api api;
    api.abi   = STEER_CUDA_ABI + 1;
    api.build = "ggml v9.9.9 0123456789ab";
    return &api;
}
