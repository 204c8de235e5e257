#include "head_walk.h"

#include <algorithm>
#include <cmath>

namespace steer {

double raise_max(RunningRow & s, const float * l, int64_t n, int64_t v0, float f) {
    double      keep = 1;
    const float m    = kernels().row_max(l, (int) n);
    if (m > s.max) {
        const double d = ((double) s.max - m) * f;
        keep           = std::exp(d); // 0 on the first group
        s.sum_x        = s.sum > 0 ? (s.sum_x + s.sum * d) * keep : 0;
        s.sum *= keep;
        s.max    = m;
        s.argmax = (int32_t) (v0 + (std::find(l, l + n, m) - l));
    }
    return keep;
}

void add_logits(RunningRow & s, const float * l, int64_t n, float f) {
    float sum, sum_x;
    kernels().exp_sums(l, (int) n, f, s.max, &sum, &sum_x);
    s.sum += sum;
    s.sum_x += sum_x;
}

double add_logits(RunningRow & s, const float * l, int64_t n, float f, int but, uint16_t * e) {
    float       sum, sum_x;
    const float others = kernels().exp_sums_bf16(l, (int) n, f, s.max, but, &sum, &sum_x, e);
    s.sum += sum;
    s.sum_x += sum_x;
    return others;
}

void finish_row(const RunningRow & s, int32_t target, float logit, float f, bool entropy, float out[4]) {
    const double log_sum = std::log(s.sum);
    out[0]               = (float) (((double) logit - s.max) * f - log_sum);
    out[1]               = entropy ? (float) (log_sum - s.sum_x / s.sum) : 0.0f;
    out[2]               = (float) ((double) s.max * f + log_sum);
    out[3]               = s.argmax == target ? 1.0f : 0.0f;
}

} // namespace steer
