// Inner loops for AVX512 (F, BW, DQ, VL).
#if defined(__x86_64__)
#define STEER_VL 16
#define STEER_MR 14
#define STEER_DOT_COLS 4
#define STEER_TABLE kernels_avx512
#define STEER_TABLE_NAME "avx512"
#include "micro.h"
#endif
