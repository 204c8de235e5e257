// platform.h: what library.cpp needs of the platform under it, CUDA (platform.cpp) or its
// emulation on the CPU (emulation/platform.cpp).
#pragma once

#include "cuda_ops.h"
#include "ggml-backend.h"

#include <memory>

namespace steer {
namespace platform {

extern const char * const archs;

int                device_count();
ggml_backend_dev_t device(int index);
int                compute_capability(int index);
size_t             most_bytes(int index); // the most in use since the last open, 0: not known
ggml_backend_t     backend(int index); // a new one, freed with ggml_backend_free; nullptr: cannot be made

// Lives while kernels are launched or device memory is copied. CUDA needs nothing of the kind;
// the emulation opens its memory.
class access {
  public:
    access();
    ~access();

  private:
    struct hold;
    std::unique_ptr<hold> held;
};

std::unique_ptr<steer_cuda> open(ggml_backend_t backend);

// Waits for everything on c's stream; throws what went wrong on it.
void synchronize(steer_cuda & c);
// Copies n bytes of device memory after everything on c's stream.
void fetch(void * dst, const void * device_src, size_t n, steer_cuda & c);

} // namespace platform
} // namespace steer
