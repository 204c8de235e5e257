#include "emulated_memory.h"

#include "emulated_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace steer {
namespace emulated {
namespace {
// One process, one emulated machine.
std::recursive_mutex     mutex; // held while the memory is open
int                      depth = 0;
std::map<void *, size_t> pages;
size_t                   used[DEVICES], most[DEVICES];

void protect(void * p, size_t n, bool open) { mprotect(p, n, open ? PROT_READ | PROT_WRITE : PROT_NONE); }

size_t whole_pages(size_t n) { return (n + PAGE - 1) / PAGE * PAGE; }
} // namespace

void * allocate(int device, size_t bytes) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const size_t n = whole_pages(bytes);
    if (n > free_bytes(device)) {
        return nullptr;
    }
    void * p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return nullptr;
    }
    memset(p, 0xFF, n);
    protect(p, n, depth > 0);
    pages[p] = n;
    used[device] += n;
    most[device] = std::max(most[device], used[device]);
    return p;
}

void release(int device, void * p, size_t bytes) noexcept {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const size_t n = whole_pages(bytes);
    pages.erase(p);
    munmap(p, n);
    used[device] -= n;
}

size_t total_bytes(int device) {
    const char * bytes = device == 0 ? getenv("STEER_EMULATED_GPU_BYTES") : nullptr;
    return bytes ? (size_t) strtoull(bytes, nullptr, 10) : devices[device].memory;
}

size_t free_bytes(int device) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const size_t total = total_bytes(device);
    return total > used[device] ? total - used[device] : 0;
}

size_t most_bytes(int device) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    return most[device];
}

void forget_most(int device) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    most[device] = used[device];
}

open_memory::open_memory() {
    mutex.lock();
    if (depth++ == 0) {
        for (const auto & it : pages) {
            protect(it.first, it.second, true);
        }
    }
}

open_memory::~open_memory() {
    if (--depth == 0) {
        for (const auto & it : pages) {
            protect(it.first, it.second, false);
        }
    }
    mutex.unlock();
}

} // namespace emulated
} // namespace steer
