// Inner loops for AVX2 + FMA + F16C.
#if defined(__x86_64__)
#define STEER_VL 8
#define STEER_MR 6
#define STEER_DOT_COLS 2
#define STEER_TABLE kernels_avx2
#define STEER_TABLE_NAME "avx2"
#include "micro.h"
#endif
