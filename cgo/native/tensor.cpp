// tensor.cpp: what a tensor is, and its numbers between Go's memory and the device's.
#include "native.h"

#include <cstring>

void         steer_tensor_shape(const steer_tensor * t, int64_t ne[4]) { memcpy(ne, t->ne, 4 * sizeof(int64_t)); }
const char * steer_tensor_type(const steer_tensor * t) { return ggml_type_name(t->type); }
size_t       steer_tensor_bytes(const steer_tensor * t) { return ggml_nbytes(t); }

void steer_tensor_set(steer_tensor * t, const void * data, size_t offset, size_t n) {
    steer::guard_quiet([&] { ggml_backend_tensor_set(t, data, offset, n); });
}

void steer_tensor_get(const steer_tensor * t, void * data, size_t offset, size_t n) {
    steer::guard_quiet([&] { ggml_backend_tensor_get(t, data, offset, n); });
}
