// emulated_backend.h: a machine with emulated GPUs, as ggml backends.
#pragma once

#include "ggml-backend.h"

namespace steer {
namespace emulated {

struct device_kind {
    const char * description;
    size_t       memory;
    int          capability;
};

constexpr int     DEVICES = 3;
extern const device_kind devices[DEVICES];

ggml_backend_dev_t device(int index);
int                index_of(ggml_backend_dev_t dev);

} // namespace emulated
} // namespace steer
