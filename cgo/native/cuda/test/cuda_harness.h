// Running a launcher on the emulated device, under three schedules, and comparing.
#pragma once

#include "../cuda_ops.h"
#include "../emulation/emulated_device.h"
#include "harness.h"

namespace test {

EmulatedDevice & device();

// Runs the launcher on fresh copies of dst in three orders of warps, lanes and blocks; checks that
// the bits agree, that memory between rows of dst is left alone and that scratch memory is given back.
// The result is left in dst. inplace: dst is src[0], put in front of src.
void run_cuda(const char * name, steer_cuda_launcher launcher, const TensorPtr & dst,
              const std::vector<TensorPtr> & src, const Params & p, bool inplace);

struct Case {
    const char *           name; // of the operation, on both devices
    steer_cuda_launcher    launcher;
    TensorPtr              dst;
    std::vector<TensorPtr> src;
    Params                 p;
    bool                   inplace = false;
};

// run_cuda, then its result against `want` (double precision, tolerance `tol` of want's rms) and
// against what the CPU's operation makes of the same tensors (tolerance `twin_tol`).
void compare(const Case & c, const std::string & what, const std::vector<double> & want, double tol, double twin_tol);

// A tensor of a type with room for `pad` more elements a row.
TensorPtr empty(ggml_type type, int64_t ne0, int64_t ne1, int64_t pad = 0);
// random, as f32 or bf16
TensorPtr random_packed(ggml_type type, int64_t ne0, int64_t ne1, double scale, int64_t pad);
// Every item of v rounded to bf16 if type is BF16.
std::vector<double> rounded(std::vector<double> v, ggml_type type);

// what() of the steer_cuda_error that f throws, or "".
std::string error_of(const std::function<void()> & f);

void test_emulation();
void test_cuda_rows();
void test_cuda_linear();
void test_cuda_lora();
void test_cuda_attn();
void test_cuda_head();
void test_cuda_optimizer();
void test_cuda_errors();

} // namespace test
