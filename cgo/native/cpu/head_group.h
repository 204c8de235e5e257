// The second product of a walk over the vocabulary: with the group's rows of W themselves.
#pragma once

#include "head.h"

namespace steer {

// dx[i][k] += sum_v c[i][v] W[v][k] for one group of the vocabulary.
class HeadGroup {
  public:
    HeadGroup(const HeadLogits & head, int64_t K);
    // Arranges the group that `head` has loaded as panels over columns.
    void load();
    // c: n <= HEAD_BLOCK rows, head.width() apart; dx rows are K apart.
    void add(const float * c, int64_t n, float * dx);
    // In bf16: the place of row i of the coefficients, and the sum over n that have been put there.
    uint16_t * rounded(int64_t i) const { return c_ + i * head_.width(); }
    void       add_rounded(int64_t n, float * dx);

  private:
    ptrdiff_t stride() const { return head_.width() * PANEL / (head_.bf16() ? 2 : 1); } // of panels

    const HeadLogits & head_;
    int64_t            K_;
    uint32_t *         panels_;
    float *            sum_; // f32: of one group
    uint16_t *         c_;   // bf16: rounded coefficients
};

} // namespace steer
