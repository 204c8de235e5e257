// emulated_memory.h: the memory of an emulated GPU. No one can touch it but while it is open: in kernels,
// in ggml's own operations and in copies. Code of the host that follows a device pointer faults.
#pragma once

#include <cstddef>

namespace steer {
namespace emulated {

// Pages whose every float is NaN until written; nullptr if the device has not that much.
void * allocate(int device, size_t bytes);
void   release(int device, void * p, size_t bytes) noexcept;
size_t free_bytes(int device);
// As in the list of devices; of the first one STEER_EMULATED_GPU_BYTES says it, if set.
size_t total_bytes(int device);
// The most in use at once since forget_most.
size_t most_bytes(int device);
void   forget_most(int device);

constexpr size_t PAGE = 4096; // memory is given out in whole ones

// The memory of all devices can be read and written while one of these lives.
struct open_memory {
    open_memory();
    ~open_memory();
    open_memory(const open_memory &)             = delete;
    open_memory & operator=(const open_memory &) = delete;
};

} // namespace emulated
} // namespace steer
