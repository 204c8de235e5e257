// Inner loops with the compiler's vectors of four floats: any machine.
#define STEER_VL 4
#define STEER_MR 6
#define STEER_DOT_COLS 2
#define STEER_TABLE kernels_portable
#define STEER_TABLE_NAME "portable"
#include "micro.h"
