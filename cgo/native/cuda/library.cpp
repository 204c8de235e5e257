// library.cpp: the table of libsteer-cuda.so (cuda_api.h) over the launchers of cuda_ops.h.
#include "../guard.h"
#include "cuda_api.h"
#include "cuda_ops.h"
#include "measure.h"
#include "platform.h"

#include <chrono>

using namespace steer;

struct steer_cuda_device {
    int                         index = 0;
    ggml_backend_t              backend = nullptr;
    std::unique_ptr<steer_cuda> cuda;
    ~steer_cuda_device() {
        cuda.reset(); // on the backend's stream
        if (backend) {
            ggml_backend_free(backend);
        }
    }
};

namespace {

// guard turns exceptions into codes; what the kernels throw says itself whether memory is short.
template <typename F> int call(char * err, size_t err_len, F && body) {
    return guard(err, err_len, [&] {
        try {
            body();
        } catch (const steer_cuda_error & e) {
            throw coded_error(e.out_of_memory ? STEER_NO_MEMORY : STEER_ERROR, e.what());
        }
    });
}

void set_log(ggml_log_callback log, void * user_data) { ggml_log_set(log, user_data); }

int open(int index, steer_cuda_device ** out, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        auto dev     = std::make_unique<steer_cuda_device>();
        dev->index   = index;
        dev->backend = platform::backend(index);
        if (!dev->backend) {
            throw std::runtime_error("the CUDA backend of device " + std::to_string(index) + " does not start");
        }
        dev->cuda = platform::open(dev->backend);
        *out      = dev.release();
    });
}

void           close(steer_cuda_device * dev) { delete dev; }
ggml_backend_t backend(steer_cuda_device * dev) { return dev->backend; }
size_t         pool_bytes(const steer_cuda_device * dev) { return dev->cuda->pool_bytes(); }
bool           weight_type_ok(const steer_cuda_device * dev, ggml_type type) {
    return steer_cuda_weight_type_ok(type, *dev->cuda);
}

int launch(steer_cuda_device * dev, int op, ggml_tensor * dst, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        const steer_cuda_op * desc = steer_cuda_op_get((steer_op_id) op);
        if (!desc) {
            throw std::logic_error("there is no operation number " + std::to_string(op) + " on the GPU");
        }
        platform::access access;
        desc->launch(dst, *dev->cuda);
    });
}

int synchronize(steer_cuda_device * dev, char * err, size_t err_len) {
    return call(err, err_len, [&] { platform::synchronize(*dev->cuda); });
}

int unpack_rows(steer_cuda_device * dev, ggml_type type, const void * rows, int64_t row_values, int64_t n_rows,
                float * dst, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        platform::access access;
        steer_cuda_unpack_rows(type, rows, row_values, n_rows, dst, *dev->cuda);
    });
}

int launch_scratch(const steer_cuda_device * dev, int op, ggml_tensor * dst, size_t * bytes, char * err,
                   size_t err_len) {
    return call(err, err_len, [&] {
        const steer_cuda_op * desc = steer_cuda_op_get((steer_op_id) op);
        if (!desc) {
            throw std::logic_error("there is no operation number " + std::to_string(op) + " on the GPU");
        }
        cuda::Measure measure(*dev->cuda);
        desc->launch(dst, measure);
        *bytes = measure.peak_bytes();
    });
}

int rows_scratch(const steer_cuda_device * dev, ggml_type type, int64_t row_values, int64_t n_rows, size_t * bytes,
                 char * err, size_t err_len) {
    return call(err, err_len, [&] {
        cuda::Measure measure(*dev->cuda);
        steer_cuda_unpack_rows(type, nullptr, row_values, n_rows, nullptr, measure);
        *bytes = measure.peak_bytes();
    });
}

int reserve_scratch(steer_cuda_device * dev, size_t bytes, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        dev->cuda->enter();
        dev->cuda->reserve(bytes);
    });
}

size_t most_bytes(const steer_cuda_device * dev) { return platform::most_bytes(dev->index); }

int sumsq(steer_cuda_device * dev, const float * x, int64_t n, double * sum, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        platform::access access;
        struct scratch {
            steer_cuda & c;
            void *       p;
            ~scratch() { c.release(p); }
        } out = { *dev->cuda, dev->cuda->acquire(sizeof(double)) };
        steer_cuda_sumsq(x, n, (double *) out.p, *dev->cuda);
        platform::fetch(sum, out.p, sizeof(double), *dev->cuda);
    });
}

int adamw(steer_cuda_device * dev, float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1,
          double b2, double eps, double wd, double gscale, int64_t step, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        platform::access access;
        steer_cuda_adamw(p, g, m, v, n, lr, b1, b2, eps, wd, gscale, step, *dev->cuda);
    });
}

int add(steer_cuda_device * dev, const float * a, const float * b, float * y, int64_t n, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        platform::access access;
        steer_cuda_add(a, b, y, n, *dev->cuda);
    });
}

int gemm_rate(steer_cuda_device * dev, int64_t n, double * rate, char * err, size_t err_len) {
    return call(err, err_len, [&] {
        using clock             = std::chrono::steady_clock;
        constexpr int    TIMES  = 20;
        clock::time_point first = {}, last = {};
        platform::access  access;
        steer_cuda_gemm_rate(n, TIMES, *dev->cuda, [&] {
            platform::synchronize(*dev->cuda);
            (first == clock::time_point{} ? first : last) = clock::now();
        });
        const double seconds = std::chrono::duration<double>(last - first).count();
        *rate                = 2.0 * (double) n * (double) n * (double) n * TIMES / seconds;
    });
}

const steer_cuda_api api = {
    STEER_CUDA_ABI, STEER_BUILD_ID, nullptr, set_log, platform::device_count, platform::device,
    platform::compute_capability, open, close, backend, pool_bytes, weight_type_ok, launch, synchronize, unpack_rows,
    sumsq, adamw, launch_scratch, rows_scratch, reserve_scratch, most_bytes, add, gemm_rate,
};

} // namespace

extern "C" __attribute__((visibility("default"))) const steer_cuda_api * steer_cuda_entry(void) {
    static const steer_cuda_api table = [] {
        steer_cuda_api t = api;
        t.archs          = platform::archs;
        return t;
    }();
    return &table;
}
