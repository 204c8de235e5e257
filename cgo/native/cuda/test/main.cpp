// steer-cuda-test [part]: every CUDA kernel on the CPU, against double precision and the CPU's
// operation of the same name. part: emulation, rows, linear, lora, attn, head, optimizer, errors.

#include "cuda_harness.h"

#include <chrono>
#include <cstdio>
#include <cstring>

int main(int argc, char ** argv) {
    ggml_init_params ip = { 1024, nullptr, true }; // fills ggml's half-precision table
    ggml_free(ggml_init(ip));
    const struct {
        const char * name;
        void (*run)();
    } parts[] = {
        { "emulation", test::test_emulation }, { "rows", test::test_cuda_rows }, { "linear", test::test_cuda_linear },
        { "lora", test::test_cuda_lora },      { "attn", test::test_cuda_attn }, { "head", test::test_cuda_head },
        { "optimizer", test::test_cuda_optimizer }, { "errors", test::test_cuda_errors },
    };
    for (const auto & part : parts) {
        if (argc > 1 && std::strcmp(argv[1], part.name) != 0) {
            continue;
        }
        test::context    = part.name;
        test::reseed();
        const auto begin = std::chrono::steady_clock::now();
        part.run();
        if (argc > 2) {
            std::printf("%s: %.1f s\n", part.name,
                        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        }
    }
    std::printf("%d passed, %d failed\n", test::passes(), test::failures());
    return test::failures() || !test::passes() ? 1 : 0;
}
