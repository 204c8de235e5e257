// Inner loops for AVX512 with the bf16 dot product.
#if defined(__x86_64__)
#define STEER_VL 16
#define STEER_MR 14
#define STEER_DOT_COLS 4
#define STEER_BF16 1
#define STEER_TABLE kernels_avx512bf16
#define STEER_TABLE_NAME "avx512bf16"
#include "micro.h"
#endif
