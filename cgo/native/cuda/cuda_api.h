// What libsteer-cuda.so offers to the program that loads it: one function, a table of functions.
//
// The library never throws through this interface: functions that can fail return a code of
// steer.h (STEER_OK, STEER_ERROR, STEER_NO_MEMORY) and put a sentence into err. ggml's own
// calls of the library's backends, buffers and devices can throw std::runtime_error.
//
// Streams: launch, unpack_rows, sumsq and adamw put their work on the training backend's stream, as
// ggml_backend_graph_compute_async does with that backend; results are there after synchronize
// (sumsq synchronizes itself).
#pragma once

#include "ggml-backend.h"
#include "ggml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEER_CUDA_ABI   4 // counts changes of this file
#define STEER_CUDA_ENTRY "steer_cuda_entry"

typedef struct steer_cuda_device steer_cuda_device; // an open device: a backend for training and what the kernels need

typedef struct {
    // These two come first in every version, so that a program can say what it has found.
    int          abi;   // STEER_CUDA_ABI
    const char * build; // STEER_BUILD_ID, cmake/build_id.cmake

    const char * archs; // "80 86 90": compute capabilities that there is code for
    void (*set_log)(ggml_log_callback log, void * user_data);

    int                (*device_count)(void);
    ggml_backend_dev_t (*device)(int index);             // as libllama takes it
    int                (*compute_capability)(int index); // 90 for 9.0

    int  (*open)(int index, steer_cuda_device ** out, char * err, size_t err_len);
    void (*close)(steer_cuda_device * dev);
    ggml_backend_t (*backend)(steer_cuda_device * dev); // for training; not the ones libllama makes
    size_t         (*pool_bytes)(const steer_cuda_device * dev); // scratch memory of the kernels
    bool           (*weight_type_ok)(const steer_cuda_device * dev, enum ggml_type type);

    // One training operation, steer_op_id in ../ops.h. All its tensors are in the memory of the device.
    int (*launch)(steer_cuda_device * dev, int op, struct ggml_tensor * dst, char * err, size_t err_len);
    int (*synchronize)(steer_cuda_device * dev, char * err, size_t err_len);

    // n_rows rows of weights in host memory, one after the other and of a type that weight_type_ok takes, to
    // dst [row_values, n_rows] f32 in device memory. They travel as they are and become f32 on the device.
    // CUDA stages pageable memory before the copy returns, but only where it must: rows stay as they are until
    // synchronize.
    int (*unpack_rows)(steer_cuda_device * dev, enum ggml_type type, const void * rows, int64_t row_values,
                       int64_t n_rows, float * dst, char * err, size_t err_len);

    // Over flat arrays in device memory; formulas in ../ops.h.
    int (*sumsq)(steer_cuda_device * dev, const float * x, int64_t n, double * sum, char * err, size_t err_len);
    int (*adamw)(steer_cuda_device * dev, float * p, const float * g, float * m, float * v, int64_t n, double lr,
                 double b1, double b2, double eps, double wd, double gscale, int64_t step, char * err, size_t err_len);

    // Scratch memory, in bytes: what launch and unpack_rows would have in use at most, asked of the launchers without
    // launching; tensors need not have memory. reserve_scratch obtains that much at once.
    int (*launch_scratch)(const steer_cuda_device * dev, int op, struct ggml_tensor * dst, size_t * bytes, char * err,
                          size_t err_len);
    int (*rows_scratch)(const steer_cuda_device * dev, enum ggml_type type, int64_t row_values, int64_t n_rows,
                        size_t * bytes, char * err, size_t err_len);
    int (*reserve_scratch)(steer_cuda_device * dev, size_t bytes, char * err, size_t err_len);
    // The most of the device's memory in use at any moment since it was last opened; 0 where the platform keeps no
    // such mark.
    size_t (*most_bytes)(const steer_cuda_device * dev);

    // y = a + b, on the stream of launch; all begin at multiples of 16 bytes.
    int (*add)(steer_cuda_device * dev, const float * a, const float * b, float * y, int64_t n, char * err,
               size_t err_len);

    // Operations a second of n x n products in bf16.
    int (*gemm_rate)(steer_cuda_device * dev, int64_t n, double * rate, char * err, size_t err_len);
} steer_cuda_api;

// NULL never; the caller compares abi and build.
typedef const steer_cuda_api * (*steer_cuda_entry_fn)(void);
