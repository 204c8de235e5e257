// device.cpp: the CPU device, the count of living objects, and the log of ggml and libllama.
#include "native.h"

#include "cpu/peak.h"
#include "ops.h"

#include <atomic>
#include <deque>
#include <mutex>

namespace steer {

static std::atomic<int64_t> alive_count{ 0 };
alive::alive() { alive_count++; }
alive::~alive() { alive_count--; }

namespace {
// ggml and libllama log through one process-wide callback, so their messages are kept in one
// bounded list, guarded because libllama's loader may log from other threads.
std::mutex              log_mutex;
std::deque<std::string> log_lines;
ggml_log_level          log_level = GGML_LOG_LEVEL_NONE;

void keep_log(ggml_log_level level, const char * text, void *) {
    std::lock_guard<std::mutex> lock(log_mutex);
    if (level == GGML_LOG_LEVEL_CONT) {
        level = log_level;
    }
    log_level = level;
    if (level != GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_ERROR) {
        return;
    }
    log_lines.emplace_back(text);
    if (log_lines.size() > 32) {
        log_lines.pop_front();
    }
}
} // namespace

std::string take_log() {
    std::lock_guard<std::mutex> lock(log_mutex);
    std::string all;
    for (const auto & line : log_lines) {
        all += line;
    }
    log_lines.clear();
    while (!all.empty() && all.back() == '\n') {
        all.pop_back();
    }
    return all;
}

} // namespace steer

int64_t steer_alive(void) { return steer::alive_count.load(); }

size_t steer_take_log(char * buf, size_t len) {
    std::string all = steer::take_log();
    snprintf(buf, len, "%s", all.c_str());
    return all.size();
}

steer_device::~steer_device() {
    if (backend) {
        ggml_backend_free(backend);
    }
    if (threadpool) {
        ggml_threadpool_free(threadpool);
    }
}

int steer_device_new(int n_threads, steer_device ** out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (n_threads < 1 || n_threads > 512) {
            throw std::invalid_argument("number of threads must be 1 to 512, got " + std::to_string(n_threads));
        }
        static std::once_flag once;
        std::call_once(once, [] {
            llama_log_set(steer::keep_log, nullptr);
            llama_backend_init();
        });
        auto dev       = std::make_unique<steer_device>();
        dev->n_threads = n_threads;
        ggml_threadpool_params tpp = ggml_threadpool_params_default(n_threads);
        tpp.poll = 1; // idle threads spin for a millisecond or two, then sleep: Go works between two calls
        dev->threadpool = ggml_threadpool_new(&tpp);
        dev->backend    = ggml_backend_cpu_init();
        if (!dev->threadpool || !dev->backend) {
            throw std::runtime_error("cannot start the CPU backend");
        }
        ggml_backend_cpu_set_n_threads(dev->backend, n_threads);
        ggml_backend_cpu_set_threadpool(dev->backend, dev->threadpool);
        *out = dev.release();
    });
}

void steer_device_free(steer_device * dev) { delete dev; }

const char * steer_device_kernel(const steer_device *) { return steer_cpu_kernel_name(); }

int steer_force_kernel(const char * name, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (!steer_cpu_force_kernel(*name ? name : nullptr)) {
            throw std::invalid_argument(std::string("this CPU or build has no kernels called \"") + name + "\"");
        }
    });
}

double steer_peak_bf16(int64_t n) { return steer_cpu_peak_bf16(n); }

double steer_peak_f32(int64_t n) { return steer_cpu_peak_f32(n); }
