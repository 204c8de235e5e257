// steer-cpu-test: every operation against a naive double-precision reference, for every
// kernel this machine has. "steer-cpu-test bench [threads] [group|all] [kernel]"
// measures instead.

#include "harness.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char ** argv) {
    // ggml fills its half-precision table when the first context is made.
    ggml_init_params ip = { 1024, nullptr, true };
    ggml_free(ggml_init(ip));
    if (argc > 1 && std::strcmp(argv[1], "bench") == 0) {
        if (argc > 4 && !steer_cpu_force_kernel(argv[4])) {
            std::printf("kernel %s: this processor lacks it\n", argv[4]);
            return 1;
        }
        test::bench(argc > 2 ? std::atoi(argv[2]) : 2,
                    argc > 3 && std::strcmp(argv[3], "all") != 0 ? argv[3] : nullptr);
        return 0;
    }
    for (const std::string & name : test::kernel_names()) {
        test::context = name;
        steer_cpu_force_kernel(name.c_str());
        test::expect("kernel name", name == steer_cpu_kernel_name());
        test::test_rows();
        test::test_linear();
        test::test_lora();
        test::test_attn();
        test::test_head();
        test::test_decode();
    }
    std::printf("%d passed, %d failed\n", test::passes(), test::failures());
    return test::failures() ? 1 : 0;
}
