// device.cpp: devices by name, and what they have in common. The devices themselves: device_cpu.cpp, device_gpu.cpp.
#include "native.h"

#include "cpu/peak.h"
#include "ops.h"

#include <mutex>

std::string steer::room_left(const steer_device * dev) {
    if (!dev->gpu) {
        return "";
    }
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(dev->gpu, &free, &total);
    return "; of the " + std::to_string(total) + " bytes of " + dev->name + " " + std::to_string(free) + " are free";
}

void steer::throw_no_memory(const steer_device * dev, size_t bytes, const std::string & what) {
    take_log(); // it says the same, of a device's number
    throw coded_error(STEER_NO_MEMORY,
                      "no room for " + what + ": " + std::to_string(bytes) + " bytes" + room_left(dev));
}

steer_device::~steer_device() {
    if (backend) {
        ggml_backend_free(backend);
    }
    if (threadpool) {
        ggml_threadpool_free(threadpool);
    }
}

void steer_device::start_threads(int n) {
    n_threads = n;
    ggml_threadpool_params tpp = ggml_threadpool_params_default(n);
    tpp.poll   = 1; // idle threads spin for a millisecond or two, then sleep: Go works between two calls
    threadpool = ggml_threadpool_new(&tpp);
    if (!threadpool) {
        throw std::runtime_error("cannot start " + std::to_string(n) + " threads");
    }
}

namespace {
// "cuda" and "cuda:N" to 0 and N; -1 for "cpu"
int device_index(const std::string & name) {
    if (name == "cpu") {
        return -1;
    }
    if (name == "cuda") {
        return 0;
    }
    const std::string prefix = "cuda:";
    if (name.compare(0, prefix.size(), prefix) == 0) {
        const std::string n = name.substr(prefix.size());
        if (!n.empty() && n.size() <= 3 && n.find_first_not_of("0123456789") == std::string::npos) {
            return std::stoi(n);
        }
    }
    throw std::invalid_argument("there is no device called \"" + name + "\": want cpu, cuda or cuda:N");
}
} // namespace

void steer::start_llama() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(keep_log, nullptr);
        llama_backend_init();
    });
}

int steer_device_new(const steer_device_params * params, steer_device ** out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (params->n_threads < 1 || params->n_threads > 512) {
            throw std::invalid_argument("number of threads must be 1 to 512, got " + std::to_string(params->n_threads));
        }
        steer::start_llama();
        const int index = device_index(params->name);
        auto      dev   = index < 0 ? steer::cpu_device(params->n_threads) : steer::gpu_device(*params, index);
        *out            = dev.release();
    });
}

void steer_device_free(steer_device * dev) {
    steer::guard_quiet([&] { delete dev; });
}

const char * steer_device_name(const steer_device * dev) { return dev->name.c_str(); }

const char * steer_device_kernel(const steer_device * dev) {
    return dev->gpu ? dev->kernel.c_str() : steer_cpu_kernel_name();
}

int steer_force_kernel(const char * name, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (!steer_cpu_force_kernel(*name ? name : nullptr)) {
            throw std::invalid_argument(std::string("this CPU or build has no kernels called \"") + name + "\"");
        }
    });
}

int steer_device_gemm_rate(steer_device * dev, double * rate, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] { *rate = dev->gemm_rate(); });
}

int steer_device_memory(steer_device * dev, steer_memory * out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] { dev->memory(out); });
}

double steer_peak_bf16(int64_t n) { return steer_cpu_peak_bf16(n); }

double steer_peak_f32(int64_t n) { return steer_cpu_peak_f32(n); }
