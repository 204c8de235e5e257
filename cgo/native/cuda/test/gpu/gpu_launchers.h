// The launchers of cuda_ops.h as calls of a libsteer-cuda.so: tensors go to the GPU, the
// operation runs there, what it wrote comes back.
#pragma once

namespace test {

// Throws if the library or the device does not open.
void open_gpu(const char * library, int index);
void close_gpu();

} // namespace test
