// platform.cpp: platform.h on emulated GPUs.
#include "../platform.h"

#include "emulated_backend.h"
#include "emulated_device.h"
#include "emulated_memory.h"

#include <cstring>

namespace steer {
namespace platform {

const char * const archs = "80 86 89 90 120";

struct access::hold {
    emulated::open_memory open;
};
access::access() : held(new hold) {}
access::~access() = default;

int                device_count() { return emulated::DEVICES; }
ggml_backend_dev_t device(int index) { return emulated::device(index); }
int                compute_capability(int index) { return emulated::devices[index].capability; }
ggml_backend_t     backend(int index) { return ggml_backend_dev_init(device(index), nullptr); }

std::unique_ptr<steer_cuda> open(ggml_backend_t backend) {
    auto c    = std::make_unique<EmulatedDevice>();
    c->memory = emulated::total_bytes(emulated::index_of(ggml_backend_get_device(backend))) / 64; // scratch
    return c;
}

void synchronize(steer_cuda &) {}

void fetch(void * dst, const void * device_src, size_t n, steer_cuda &) { memcpy(dst, device_src, n); }

} // namespace platform
} // namespace steer
