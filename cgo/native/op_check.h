// op_check.h: shape checks of the custom ops, made before ggml sees them.
#pragma once

#include "ops.h"
#include "steer.h"

namespace steer {
// NULL if op with these operands gives [ne0, ne1], else what is wrong
const char * check_op(int op, ggml_tensor * const * src, int n_src, int64_t ne0, int64_t ne1, bool inplace,
                      const steer_op_args * args);
} // namespace steer
