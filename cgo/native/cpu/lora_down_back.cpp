// lora_down_back: dx += drop(A dh).
//   dx[k,t] += mask[k,t]/(1-p) * sum_j A[k,j] dh[j,t]
//   dst = src0 dx [K,T] in place; src1 A [K,r], src2 dh f32 or bf16 [r,T], src3 seeds I32 [2,T]

#include "lora.h"

#include <algorithm>

using namespace steer;

extern "C" void steer_cpu_lora_down_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * A  = dst->src[1];
    const ggml_tensor * dh = dst->src[2];
    const int64_t       K = A->ne[0], r = A->ne[1], T = dh->ne[1];
    check_f32(A, K, r);
    check_activation(dh, r, T);
    check_f32(dst, K, T);
    const Share   share(T, ith, nth);
    const Dropout drop(dst->src[3], params_of(dst), T, share.begin, share.end);
    if (share.begin == share.end) {
        return;
    }
    constexpr int64_t M    = 14;
    float *           tail = scratch().get<float>(SLOT_PANEL, PANEL * r); // the last, narrower panel
    float *           out  = drop.on() ? scratch().get<float>(SLOT_A, M * K) : nullptr;
    if (K % PANEL) {
        kernels().copy_padded(row_f32(A, 0) + K / PANEL * PANEL, row_stride(A), r, (int) (K % PANEL), tail, PANEL);
    }
    float * wide = is_bf16(dh) ? scratch().get<float>(SLOT_B, M * r) : nullptr;
    for (int64_t t = share.begin; t < share.end; t += M) {
        const int64_t m  = std::min(M, share.end - t);
        const float * in = wide ? wide : row_f32(dh, t);
        for (int64_t i = 0; i < m && wide; i++) {
            kernels().from_bf16((const uint16_t *) row_ptr(dh, t + i), wide + i * r, r);
        }
        for (int64_t k = 0; k < K; k += PANEL) {
            const int     lanes = (int) std::min<int64_t>(PANEL, K - k);
            const float * B     = lanes < PANEL ? tail : row_f32(A, 0) + k;
            kernels().gemm_f32((int) m, lanes, (int) r, in, wide ? r : row_stride(dh), 1, B,
                               lanes < PANEL ? PANEL : row_stride(A), drop.on() ? out + k : row_f32(dst, t) + k,
                               drop.on() ? K : row_stride(dst), !drop.on());
        }
        for (int64_t i = 0; i < m && drop.on(); i++) {
            drop.apply(t + i, 0, out + i * K, row_f32(dst, t + i), K, true);
        }
    }
}
