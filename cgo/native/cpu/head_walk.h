// A row on its walk over the vocabulary: shared by head_logprob and head_direction.
#pragma once

#include "head.h"

namespace steer {

struct RunningRow {
    float   max;    // of W.h, before the temperature
    int32_t argmax;
    double  sum, sum_x; // of exp(f (l - max)), and of that times f (l - max)
};

static constexpr RunningRow RUNNING_START = { -__builtin_inff(), 0, 0, 0 };

// Raises the maximum to that of n more logits, beginning at vocabulary entry v0. Returns
// exp(f (old max - new max)), by which earlier sums were multiplied.
double raise_max(RunningRow & s, const float * l, int64_t n, int64_t v0, float f);

// Adds the exponentials of n logits, none above the maximum.
void add_logits(RunningRow & s, const float * l, int64_t n, float f);
// The same sums to the bit, in bf16; rounds the exponentials into e, but for entry `but` (none: -1) of which e
// is 0, and returns the sum of the others.
double add_logits(RunningRow & s, const float * l, int64_t n, float f, int but, uint16_t * e);

// logp | entropy (0 unless wanted) | lse | 1 if the target is the first of the largest;
// logit: W.h of the target
void finish_row(const RunningRow & s, int32_t target, float logit, float f, bool entropy, float out[4]);

} // namespace steer
