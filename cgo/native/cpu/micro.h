// The inner loops of every operation, for vectors of STEER_VL floats. See kernels.h for
// what each does. Included once by each kernels_*.cpp, which sets STEER_VL (floats a
// vector), STEER_MR (rows of the matrix kernel), STEER_DOT_COLS (tokens of the tile of dot
// products), STEER_BF16 (has the bf16 dot product), STEER_TABLE and STEER_TABLE_NAME.

#include "blocks.h"
#include "kernels.h"
#include "../ops.h"

#include <math.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace steer {
namespace {

#include "vec.h"
#include "micro_gemm.h"
#include "micro_pack.h"
#include "micro_unpack.h"
#include "micro_rows.h"
#include "micro_bf16.h"
#include "micro_decode.h"

} // namespace

const Kernels STEER_TABLE = {
    STEER_TABLE_NAME, STEER_MR, gemm_f32,
#if STEER_BF16
    gemm_bf16,        gemms_bf16,
#else
    nullptr,          nullptr,
#endif
    transpose32,      copy_padded, to_bf16,     from_bf16,     interleave,  unpack_f32,   unpack_bf16, row_max,
    dot,              scale,       axpy,          exp_sum,     exp_below,    exp_sums,     exp_sums_diff,
    softmax_back,     logprob_back, rms_norm,     rotate_pairs, swiglu,
    rms_back,     swiglu_back, geglu,        geglu_back,   add,          cap,          multiply,
    dropout,      adamw,
    attn_cells,       dots_f32,
#if STEER_BF16
    dots_bf16,        softmax_bf16, softmax_back_bf16, exp_sums_bf16, swiglu_bf16, swiglu_back_bf16,
    geglu_bf16,       geglu_back_bf16,
#else
    nullptr,          nullptr,      nullptr,           nullptr,       nullptr,     nullptr,
    nullptr,          nullptr,
#endif
};

} // namespace steer
