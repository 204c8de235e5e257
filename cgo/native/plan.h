// plan.h: what the allocators would take, and a count of what they took.
#pragma once

#include <cstddef>
#include <cstdint>

struct ggml_backend_buffer;
struct ggml_cgraph;
struct ggml_context;
struct steer_device;

namespace steer {

// steer_allocations, one more
void count_allocation();

// The most a quantity has reached; memory is obtained only beyond it.
struct high_water {
    size_t most = 0;
    void   reach(size_t now) {
        if (now > most) {
            most = now;
            count_allocation();
        }
    }
};

// Bytes that ggml keeps for its own operations when it computes the graph.
size_t work_bytes(const steer_device * dev, const ggml_cgraph * graph);

// A buffer of no size that the tensors of ctx claim to lie in, so that allocators leave them alone.
ggml_backend_buffer * no_memory(const steer_device * dev, ggml_context * ctx);

// Gives what malloc keeps for later back to the operating system.
void trim_heap();

// Bytes obtained from malloc and not freed; 0 where the C library does not tell.
int64_t heap_in_use();

} // namespace steer
