// device_cpu.cpp: the CPU as a device. Weights are mapped from the file, everything is in host memory.
#include "native.h"

#include "ops.h"

#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

namespace {

struct cpu_device : steer_device {
    void check_weight(const std::string & name, const ggml_tensor * w) const override {
        if (!w->buffer || !ggml_backend_buffer_is_host(w->buffer)) {
            throw std::runtime_error("tensor " + name + " is not in host memory");
        }
        const char * buft = ggml_backend_buft_name(ggml_backend_buffer_get_type(w->buffer));
        if (strstr(buft, "REPACK") || strstr(buft, "AMX")) {
            throw std::runtime_error("tensor " + name + " was repacked (" + buft + "): its rows cannot be read");
        }
    }

    ggml_tensor * get_rows(ggml_context * ctx, ggml_tensor * table, ggml_tensor * ids) override {
        return ggml_get_rows(ctx, table, ids);
    }

    void check_graph(const ggml_cgraph *) const override {}

    // Large pages where the system grants them on request: a step walks through more memory than the processor has
    // page entries for. A refusal changes no result and is no error.
    void settle(void * base, size_t size) const override {
#if defined(MADV_HUGEPAGE)
        const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), first = (uintptr_t) base;
        const uintptr_t from = (first + page - 1) / page * page, to = (first + size) / page * page;
        if (from < to) {
            (void) madvise((void *) from, to - from, MADV_HUGEPAGE);
        }
#else
        (void) base, (void) size;
#endif
    }

    void compute(ggml_cgraph * graph) override {
        const ggml_status st = ggml_backend_graph_compute(backend, graph);
        if (st == GGML_STATUS_ALLOC_FAILED) {
            throw steer::coded_error(STEER_NO_MEMORY, "out of memory in graph compute");
        }
        if (st != GGML_STATUS_SUCCESS) {
            throw std::runtime_error(std::string("graph compute: ") + ggml_status_to_string(st));
        }
    }

    int64_t param_alignment() const override { return 1; }

    double sumsq(const float * x, int64_t n) override { return steer_cpu_sumsq(x, n); }

    void adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2, double eps,
               double wd, double gscale, int64_t step) override {
        steer_cpu_adamw(p, g, m, v, n, lr, b1, b2, eps, wd, gscale, step);
    }

    double gemm_rate() override { throw std::logic_error("the CPU's limit is measured by its own loops"); }

    void memory(steer_memory *) override { throw std::logic_error("the CPU has no memory of its own"); }
};

} // namespace

std::unique_ptr<steer_device> steer::cpu_device(int n_threads) {
    auto dev  = std::make_unique<::cpu_device>();
    dev->name = "cpu";
    dev->start_threads(n_threads);
    dev->backend = ggml_backend_cpu_init();
    if (!dev->backend) {
        throw std::runtime_error("cannot start the CPU backend");
    }
    ggml_backend_cpu_set_n_threads(dev->backend, n_threads);
    ggml_backend_cpu_set_threadpool(dev->backend, dev->threadpool);
    return dev;
}
