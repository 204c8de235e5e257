// decode_attention: o_h = sum_j softmax_j(scale q_h . k_j) v_j over the cells j of the cache
// that a token sees; head h reads kv head h / (H/HK). With a cap a score s becomes cap tanh(s / cap).
//
// Which cells those are is the same in all layers: they are listed once from libllama's mask.
// An item of work is a token and a kv head, so that a key is widened once for all its queries.

#include "decode.h"

#include <cmath>

using namespace steer;

extern "C" void steer_decode_cells(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * mask = dst->src[0];
    const int64_t       n_kv = mask->ne[0], T = dst->ne[1], per_stream = T / mask->ne[3];
    GGML_ASSERT(mask->type == GGML_TYPE_F32 && dst->ne[0] == n_kv + 1 && T % mask->ne[3] == 0);
    const Share share(T, ith, nth);
    for (int64_t t = share.begin; t < share.end; t++) {
        const float * m =
            (const float *) ((const char *) mask->data + t % per_stream * mask->nb[1] + t / per_stream * mask->nb[3]);
        int32_t *     cells = (int32_t *) row_ptr(dst, t);
        int32_t       n     = 0;
        for (int64_t j = 0; j < n_kv; j++) {
            if (m[j] > -INFINITY) {
                cells[++n] = (int32_t) j;
            }
        }
        cells[0] = n;
    }
}

extern "C" void steer_decode_attention(ggml_tensor * dst, int, int, void * attention) {
    DecodeAttention &   a     = *(DecodeAttention *) attention;
    const ggml_tensor * q     = dst->src[0];
    const ggml_tensor * cells = dst->src[1];
    const int64_t       D = q->ne[0], H = q->ne[2], HK = a.k->ne[2], group = H / HK, per_stream = q->ne[1];
    const int64_t       items = per_stream * q->ne[3] * HK;
    float *             s     = scratch().get<float>(SLOT_A, 4 * (cells->ne[0] + 3));
    for (;;) {
        const int64_t item = a.next.fetch_add(1, std::memory_order_relaxed);
        if (item >= items) {
            return;
        }
        const int64_t   t = item / HK, hk = item % HK, stream = t / per_stream;
        const int32_t * seen = (const int32_t *) row_ptr(cells, t);
        const char *    from =
            (const char *) q->data + t % per_stream * q->nb[1] + hk * group * q->nb[2] + stream * q->nb[3];
        float *         to   = (float *) ((char *) dst->data + (t * H + hk * group) * D * sizeof(float));
        kernels().attn_cells((int) group, (int) D, (const float *) from, q->nb[2] / sizeof(float),
                             (const char *) a.k->data + hk * a.k->nb[2] + stream * a.k->nb[3], a.k->nb[1],
                             (const char *) a.v->data + hk * a.v->nb[2] + stream * a.v->nb[3], a.v->nb[1], seen + 1,
                             seen[0], a.scale, a.cap, s, to, D);
    }
}
