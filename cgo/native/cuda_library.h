// cuda_library.h: finding NVIDIA's driver and libsteer-cuda.so at run time.
#pragma once

#include "cuda/cuda_api.h"

#include <string>
#include <vector>

namespace steer {

// Throws, with what to do, unless there is a driver for CUDA 13.0 and a device. path: the
// driver's library; empty: libcuda.so.1.
void check_cuda_driver(const std::string & path);

// Loads the first of these files that is there, for good: a library that has started CUDA is
// not to be unloaded. Throws, with what to do, if none is there or it is not of this program.
const steer_cuda_api * load_cuda_library(const std::vector<std::string> & paths);

} // namespace steer
