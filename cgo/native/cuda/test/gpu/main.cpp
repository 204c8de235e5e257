// steer-gpu-test LIBRARY [DEVICE [PART]]: the tests of the CUDA kernels with the kernels of
// libsteer-cuda.so on a GPU, against double precision and the CPU's operation of the same name.
// PART: rows, linear, lora, attn, head, optimizer.
//
// The limits of scratch memory are the library's own: small ones, with several chunks a
// matrix, are tested by steer-cuda-test.

#include "../cuda_harness.h"
#include "gpu_launchers.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace {

void run(int argc, char ** argv) {
    ggml_init_params ip = { 1024, nullptr, true }; // fills ggml's half-precision table
    ggml_free(ggml_init(ip));
    test::open_gpu(argv[1], argc > 2 ? std::atoi(argv[2]) : 0);
    const struct {
        const char * name;
        void (*run)();
    } parts[] = {
        { "rows", test::test_cuda_rows }, { "linear", test::test_cuda_linear },
        { "lora", test::test_cuda_lora }, { "attn", test::test_cuda_attn },
        { "head", test::test_cuda_head }, { "optimizer", test::test_cuda_optimizer },
    };
    for (const auto & part : parts) {
        if (argc > 3 && std::strcmp(argv[3], part.name) != 0) {
            continue;
        }
        test::context     = part.name;
        test::reseed();
        const auto begin  = std::chrono::steady_clock::now();
        const int  before = test::passes(), failed = test::failures();
        part.run();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::printf("%-10s %6d passed, %d failed, %.1f s\n", part.name, test::passes() - before,
                    test::failures() - failed, took.count());
        std::fflush(stdout);
    }
    test::close_gpu();
}

} // namespace

int main(int argc, char ** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: steer-gpu-test LIBRARY [DEVICE [PART]]\n");
        return 2;
    }
    try {
        run(argc, argv);
    } catch (const std::exception & e) {
        std::fprintf(stderr, "steer-gpu-test: %s\n", e.what());
        return 1;
    }
    std::printf("%d passed, %d failed\n", test::passes(), test::failures());
    return test::failures() || !test::passes() ? 1 : 0;
}
