// platform.cpp: platform.h on emulated GPUs.
#include "../platform.h"

#include "emulated_backend.h"
#include "emulated_device.h"
#include "emulated_memory.h"

#include "../pool.h"

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

size_t             most_bytes(int index) { return emulated::most_bytes(index); }

namespace {

struct DeviceMemory {
    int    index;
    void * obtain(size_t size) {
        void * p = emulated::allocate(index, size);
        if (!p) {
            throw steer_cuda_error(std::to_string(size) + " bytes of scratch memory: out of memory", true);
        }
        return p;
    }
    void give_back(void * p, size_t size) noexcept { emulated::release(index, p, size); }
};

// Scratch memory out of the device's own, by the pool of context.cu.
class PooledDevice : public EmulatedDevice {
  public:
    explicit PooledDevice(int index) : pool_({ index }, emulated::PAGE) {}
    void * acquire(size_t bytes) override {
        void * p = pool_.acquire(bytes);
        memset(p, 0xFF, bytes); // NaN
        return p;
    }
    void   release(void * p) noexcept override { pool_.release(p); }
    void   reserve(size_t bytes) override { pool_.reserve(bytes); }
    size_t pool_bytes() const override { return pool_.held(); }
    size_t peak_bytes() const override { return pool_.peak(); }

  private:
    cuda::Pool<DeviceMemory> pool_;
};

} // namespace

std::unique_ptr<steer_cuda> open(ggml_backend_t backend) {
    const int index = emulated::index_of(ggml_backend_get_device(backend));
    emulated::forget_most(index);
    return std::make_unique<PooledDevice>(index);
}

void synchronize(steer_cuda &) {}

void fetch(void * dst, const void * device_src, size_t n, steer_cuda &) { memcpy(dst, device_src, n); }

} // namespace platform
} // namespace steer
