// lora_up_back: dh = s B dy.
//   dh[j,t] = f0 * sum_n B[j,n] dy[n,t]
//   dst dh [r,T]; src0 B [r,N], src1 dy [N,T]

#include "lora.h"

#include <algorithm>

using namespace steer;

extern "C" void steer_cpu_lora_up_back(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * B  = dst->src[0];
    const ggml_tensor * dy = dst->src[1];
    const int64_t       r = B->ne[0], N = B->ne[1], T = dy->ne[1];
    const float         s = params_of(dst).f[0];
    check_f32(B, r, N);
    check_f32(dy, N, T);
    check_f32(dst, r, T);
    const Share share(T, ith, nth);
    if (share.begin == share.end) {
        return;
    }
    float * panel = scratch().get<float>(SLOT_PANEL, PANEL * N);
    for (int64_t j = 0; j < r; j += PANEL) {
        const int lanes = (int) std::min<int64_t>(PANEL, r - j);
        kernels().copy_padded(row_f32(B, 0) + j, row_stride(B), N, lanes, panel, panel_width(lanes));
        kernels().gemm_f32((int) (share.end - share.begin), lanes, (int) N, row_f32(dy, share.begin), row_stride(dy),
                           1, panel, panel_width(lanes), row_f32(dst, share.begin) + j, row_stride(dst), false);
        for (int64_t t = share.begin; t < share.end && s != 1; t++) {
            kernels().scale(row_f32(dst, t) + j, lanes, s);
        }
    }
}
