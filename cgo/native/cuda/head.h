// Shared by the vocabulary heads. The logits of a batch never exist: target rows walk the
// vocabulary chunk by chunk, and a panel of logits lives until the next one.
#pragma once

#include "device.h"
#include "product.h"

#include <algorithm>

namespace steer {
namespace cuda {

// The arithmetic of a head operation: i1 = 1 bf16, else f32.
inline ggml_type head_type(const steer_op_params & p) { return p.i[1] ? GGML_TYPE_BF16 : GGML_TYPE_F32; }
inline int64_t   size_of(ggml_type type) { return type == GGML_TYPE_BF16 ? 2 : 4; }

// Checks what the head operations share.
void require_head(const ggml_tensor * W, const ggml_tensor * h, const ggml_tensor * rows, const steer_op_params & p);

// x[:, i] = h[:, rows[i]], i < n, in `type`, contiguous; NaN for a row that h does not have.
void gather_rows(steer_cuda & c, const ggml_tensor * h, const int32_t * rows, int64_t n, ggml_type type, void * x);

// Logits of some target rows for one chunk of the vocabulary.
struct Panel {
    int64_t row0, rows;  // of the rows that walk together
    int64_t v0, count;   // entries of the vocabulary
    Matrix  W;           // [n, count]: their columns
    int64_t ld;          // distance of two target rows in a panel
};

// Calls f(panel) for every chunk of the vocabulary and, within it, for `rows` target rows in parts.
template <class F> void each_panel(steer_cuda & c, Weights & weights, int64_t V, int64_t rows, F f) {
    const int64_t ld = (weights.chunk() + 7) / 8 * 8;
    for (int64_t v0 = 0; v0 < V; v0 += weights.chunk()) {
        const int64_t count = std::min(weights.chunk(), V - v0);
        const Matrix  W     = weights.rows(v0, count);
        for (int64_t r = 0; r < rows; r += c.limits.panel_rows) {
            f(Panel{ r, std::min(c.limits.panel_rows, rows - r), v0, count, W, ld });
        }
    }
}

// Items of a panel of `rows` target rows.
inline int64_t panel_items(const steer_cuda & c, const Weights & weights, int64_t rows) {
    return std::min(c.limits.panel_rows, rows) * ((weights.chunk() + 7) / 8 * 8);
}

// Capped logits in the place of logits: L = cap tanh(L / cap).
void cap_logits(steer_cuda & c, const Panel & p, float * L, float cap);

// L[v, i] = W_v . x[:, row0 + i], capped if cap > 0
inline void panel_logits(steer_cuda & c, const Panel & p, ggml_type type, int64_t K, const char * x, float * L,
                         float cap) {
    product(c, type, true, false, p.count, p.rows, K, 1, p.W, { x + p.row0 * K * size_of(type), K }, 0, L, p.ld);
    if (cap > 0) {
        cap_logits(c, p, L, cap);
    }
}

// The slope of capping at a capped logit.
__device__ __forceinline__ float cap_slope(float logit, float cap) {
    if (cap > 0) {
        const float t = logit / cap;
        return 1 - t * t;
    }
    return 1;
}

// C[:, i] (+)= sum_v W_v P[v, i]; overwritten by the first chunk.
inline void panel_product(steer_cuda & c, const Panel & p, ggml_type type, int64_t K, const void * P, float * C,
                          int64_t ldc) {
    product(c, type, false, false, K, p.rows, p.count, 1, p.W, { P, p.ld }, p.v0 > 0 ? 1 : 0, C, ldc);
}

constexpr int HEAD_THREADS = 256;

// What a target row knows of the vocabulary so far.
struct Running {
    double  sum, sum_x; // of exp(f (l - max)) and of that times f (l - max)
    float   max;        // of W.h, before f
    float   target;     // W.h of the target; NaN until it was met
    int32_t argmax;     // the first one
};

struct Largest {
    float   value;
    int32_t at;
};

__device__ __forceinline__ Largest larger(Largest a, Largest b) {
    return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a;
}

// The largest of n values and its first place, in every thread of the block.
__device__ __forceinline__ Largest block_largest(const float * x, int n) {
    __shared__ Largest partial[HEAD_THREADS / 32];
    Largest            best = { -INFINITY, 0x7FFFFFFF };
    for (int i = threadIdx.x; i < n; i += HEAD_THREADS) {
        best = larger(best, { x[i], i });
    }
    for (int o = 16; o > 0; o >>= 1) {
        const Largest other = { __shfl_xor_sync(~0u, best.value, o), __shfl_xor_sync(~0u, best.at, o) };
        best                = larger(best, other);
    }
    __syncthreads(); // what an earlier call left may still be read
    if (threadIdx.x % 32 == 0) {
        partial[threadIdx.x / 32] = best;
    }
    __syncthreads();
    for (int i = 0; i < HEAD_THREADS / 32; i++) {
        best = larger(best, partial[i]);
    }
    return best;
}

// One block takes in one chunk of a row's logits. put(i, e): called with e = exp(f (l_i - max))
// of every logit i. Returns the factor by which sums of earlier chunks shrink.
template <class Put>
__device__ __forceinline__ float take_in(Running * state, const float * l, int count, int v0, int target, float f,
                                         bool entropy, Put put) {
    Running       s    = { 0, 0, -INFINITY, NAN, 0 };
    const Largest best = block_largest(l, count);
    if (v0 > 0) {
        s = *state;
    }
    float keep = 1;
    if (best.value > s.max) {
        const double d = ((double) s.max - (double) best.value) * f;
        const double k = exp(d); // 0 at the first chunk
        s.sum_x        = s.sum > 0 ? (s.sum_x + s.sum * d) * k : 0;
        s.sum *= k;
        s.max    = best.value;
        s.argmax = v0 + best.at;
        keep     = (float) k;
    }
    // The target's own term apart: near certainty the rest would be lost beside it.
    float sum = 0, sum_x = 0, own = 0;
    for (int i = threadIdx.x; i < count; i += HEAD_THREADS) {
        const float d = (l[i] - s.max) * f, e = expf(d);
        sum_x += entropy ? e * d : 0.0f;
        if (i == target - v0) {
            state->target = l[i];
            own           = e;
        } else {
            sum += e;
        }
        put(i, e);
    }
    s.sum += block_sum((double) sum + (double) own);
    s.sum_x += entropy ? block_sum((double) sum_x) : 0;
    if (threadIdx.x == 0) {
        const bool met = target >= v0 && target < v0 + count;
        state->sum     = s.sum;
        state->sum_x   = s.sum_x;
        state->max     = s.max;
        state->argmax  = s.argmax;
        if (!met && v0 == 0) {
            state->target = NAN;
        }
    }
    return keep;
}

// dst of head_logprob from the finished state.
__device__ __forceinline__ void finish(const Running & s, int target, float f, bool entropy, float * out) {
    const double log_sum = log(s.sum);
    out[0]               = (float) (((double) s.target - (double) s.max) * f - log_sum);
    out[1]               = entropy ? (float) (log_sum - s.sum_x / s.sum) : 0.0f;
    out[2]               = (float) ((double) s.max * f + log_sum);
    out[3]               = s.argmax == target ? 1.0f : 0.0f;
}

} // namespace cuda
} // namespace steer
