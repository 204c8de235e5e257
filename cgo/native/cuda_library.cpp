#include "cuda_library.h"

#include "steer.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace steer {
namespace {

constexpr int CUDA_NEEDED = 13000; // what the driver must support, as cuDriverGetVersion tells it

std::string cuda_version(int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

template <typename F> F symbol(void * library, const char * name) { return reinterpret_cast<F>(dlsym(library, name)); }

} // namespace

void check_cuda_driver(const std::string & path) {
    const std::string file    = path.empty() ? "libcuda.so.1" : path;
    void *            library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        throw std::runtime_error("no NVIDIA driver: " + std::string(dlerror()) +
                                 "; install driver 580 or newer, or use device cpu");
    }
    using get        = int (*)(int *);
    auto get_version = symbol<get>(library, "cuDriverGetVersion");
    auto init        = symbol<int (*)(unsigned)>(library, "cuInit");
    auto get_count   = symbol<get>(library, "cuDeviceGetCount");
    if (!get_version || !init || !get_count) {
        throw std::runtime_error(file + " is not NVIDIA's driver: it has no cuInit");
    }
    int version = 0, count = 0;
    if (get_version(&version) == 0 && version < CUDA_NEEDED) {
        throw std::runtime_error("the NVIDIA driver is too old: it supports CUDA " + cuda_version(version) + ", " +
                                 cuda_version(CUDA_NEEDED) +
                                 " is needed: install driver 580 or newer, or use device cpu");
    }
    int status = init(0);
    if (status == 0) {
        status = get_count(&count);
    }
    if (status == 100 || (status == 0 && count == 0)) { // CUDA_ERROR_NO_DEVICE
        throw std::runtime_error("the NVIDIA driver finds no GPU: is one there, and may this process see it "
                                 "(CUDA_VISIBLE_DEVICES, container)?");
    }
    if (status != 0) {
        const char * why = nullptr;
        if (auto get_string = symbol<int (*)(int, const char **)>(library, "cuGetErrorString")) {
            get_string(status, &why);
        }
        throw std::runtime_error("the NVIDIA driver does not start: error " + std::to_string(status) +
                                 (why ? std::string(" (") + why + ")" : ""));
    }
    // Stays loaded: CUDA uses it from here on.
}

const steer_cuda_api * load_cuda_library(const std::vector<std::string> & paths) {
    std::string file, looked;
    for (const auto & p : paths) {
        if (access(p.c_str(), F_OK) == 0) {
            file = p;
            break;
        }
        looked += (looked.empty() ? "" : ", ") + p;
    }
    if (file.empty()) {
        throw std::runtime_error("the CUDA library is not built: run `make cuda` (looked for " +
                                 (looked.empty() ? "nothing" : looked) + ")");
    }
    if (file.find('/') == std::string::npos) {
        file = "./" + file; // a file, not a name to be searched for
    }
    void * library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        std::string why = dlerror();
        if (why.find("libcublas") != std::string::npos) {
            why += ": install cuBLAS of CUDA 13, or put its folder on LD_LIBRARY_PATH";
        }
        throw std::runtime_error("the CUDA library does not load: " + why);
    }
    auto entry = symbol<steer_cuda_entry_fn>(library, STEER_CUDA_ENTRY);
    if (!entry) {
        throw std::runtime_error(file + " is not this program's CUDA library: it has no " STEER_CUDA_ENTRY);
    }
    const steer_cuda_api * api = entry();
    if (api->abi != STEER_CUDA_ABI || strcmp(api->build, STEER_BUILD_ID) != 0) {
        throw std::runtime_error(file + " is of another version (interface " + std::to_string(api->abi) + ", " +
                                 api->build + ") than this program (interface " + std::to_string(STEER_CUDA_ABI) +
                                 ", " STEER_BUILD_ID "): run `make cuda` again");
    }
    return api;
}

} // namespace steer
