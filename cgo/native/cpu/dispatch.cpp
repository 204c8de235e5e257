// Choice of the kernel table by what the processor can do.

#include "kernels.h"
#include "../ops.h"

#include <atomic>
#include <cstring>

namespace steer {

namespace {

struct Choice {
    const Kernels * table;
    bool            available;
};

// Best last.
int choices(Choice out[4]) {
    int n    = 0;
    out[n++] = { &kernels_portable, true };
#if defined(__x86_64__)
    const bool avx2   = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    out[n++] = { &kernels_avx2, avx2 };
    out[n++] = { &kernels_avx512, avx512 };
    out[n++] = { &kernels_avx512bf16, avx512 && __builtin_cpu_supports("avx512bf16") };
#endif
    return n;
}

const Kernels * best() {
    Choice          c[4];
    const int       n = choices(c);
    const Kernels * t = nullptr;
    for (int i = 0; i < n; i++) {
        if (c[i].available) {
            t = c[i].table;
        }
    }
    return t;
}

std::atomic<const Kernels *> & chosen() {
    static std::atomic<const Kernels *> t{ best() };
    return t;
}

} // namespace

const Kernels & kernels() {
    return *chosen().load(std::memory_order_relaxed);
}

} // namespace steer

extern "C" const char * steer_cpu_kernel_name(void) {
    return steer::kernels().name;
}

extern "C" bool steer_cpu_force_kernel(const char * name) {
    if (!name) {
        steer::chosen().store(steer::best());
        return true;
    }
    steer::Choice c[4];
    const int     n = steer::choices(c);
    for (int i = 0; i < n; i++) {
        if (c[i].available && std::strcmp(c[i].table->name, name) == 0) {
            steer::chosen().store(c[i].table);
            return true;
        }
    }
    return false;
}
