#include "sample.h"

#include "cpu/common.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>

namespace steer {

namespace {

// Tokens whose probabilities are summed before the next ones are looked at.
constexpr int32_t CHUNK = 1024;

struct Sampler {
    steer_sampling        sp;
    int32_t               n;
    std::vector<Draw> *   draws;
    std::atomic<size_t>   next{ 0 };

    bool cut() const {
        return (sp.top_k > 0 && sp.top_k < n) || (sp.top_p > 0.0f && sp.top_p < 1.0f) || sp.min_p > 0.0f;
    }
    int32_t draw(const float * logits, double u) const;
    int32_t draw_whole(const float * logits, float top, double u) const;
    int32_t draw_cut(const float * logits, float top, double u) const;
};

// exp((logits[i] - top) / T) for count logits from the first on; returns their sum.
float weights(const float * logits, int32_t count, float top, float inv_t, float * p) {
    std::memcpy(p, logits, count * sizeof(float));
    return kernels().exp_sum(p, count, inv_t, top * inv_t);
}

int32_t Sampler::draw(const float * logits, double u) const {
    const float top = kernels().row_max(logits, n);
    if (!(top > -INFINITY && top < INFINITY)) {
        return -1;
    }
    if (sp.temperature <= 0.0f) {
        return (int32_t) (std::find(logits, logits + n, top) - logits);
    }
    return cut() ? draw_cut(logits, top, u) : draw_whole(logits, top, u);
}

int32_t Sampler::draw_whole(const float * logits, float top, double u) const {
    const float   inv_t  = 1.0f / sp.temperature;
    const int32_t chunks = (n + CHUNK - 1) / CHUNK;
    float *       p      = scratch().get<float>(SLOT_A, CHUNK);
    double *      sums   = scratch().get<double>(SLOT_B, chunks);
    double        total  = 0.0;
    for (int32_t c = 0; c < chunks; c++) {
        sums[c] = weights(logits + c * CHUNK, std::min(CHUNK, n - c * CHUNK), top, inv_t, p);
        total += sums[c];
    }
    double  at = u * total;
    int32_t c  = 0;
    while (c < chunks - 1 && at >= sums[c]) {
        at -= sums[c++];
    }
    while (c > 0 && sums[c] == 0.0) { // rounding at the very end of the distribution
        c--;
    }
    const int32_t first = c * CHUNK, count = std::min(CHUNK, n - first);
    weights(logits + first, count, top, inv_t, p);
    int32_t last = first;
    for (int32_t i = 0; i < count; i++) {
        if (p[i] > 0.0f) {
            last = first + i;
            at -= p[i];
            if (at < 0.0) {
                break;
            }
        }
    }
    return last;
}

int32_t Sampler::draw_cut(const float * logits, float top, double u) const {
    float *      p     = scratch().get<float>(SLOT_A, n);
    int32_t *    order = scratch().get<int32_t>(SLOT_B, n);
    const double all   = weights(logits, n, top, 1.0f / sp.temperature, p);
    const size_t most  = sp.top_k > 0 && sp.top_k < n ? sp.top_k : n;
    const bool   share = sp.top_p > 0.0f && sp.top_p < 1.0f;

    // The likeliest tokens in order, as many as the cuts can need: all above a floor that is
    // lowered until they are enough.
    size_t k     = 0;
    float  floor = 1.0f / 64;
    for (bool enough = false; !enough; floor *= 1.0f / 64) {
        const bool last = floor < 1e-30f;
        double     mass = 0.0;
        k               = 0;
        for (int32_t i = 0; i < n; i++) {
            if (p[i] >= floor || last) {
                order[k++] = i;
                mass += p[i];
            }
        }
        enough = last || k >= most || (sp.min_p > 0.0f && floor <= sp.min_p) ||
                 (share && most == (size_t) n && mass >= 1.0001 * sp.top_p * all);
    }
    auto more = [&](int32_t a, int32_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; };
    if (most < k) {
        std::partial_sort(order, order + most, order + k, more);
        k = most;
    } else {
        std::sort(order, order + k, more);
    }
    double total = most < (size_t) n ? 0.0 : all;
    for (size_t i = 0; i < k && most < (size_t) n; i++) {
        total += p[order[i]];
    }
    if (share) { // smallest set whose mass reaches top_p
        double mass = 0.0;
        for (size_t i = 0; i < k; i++) {
            mass += p[order[i]];
            if (mass >= sp.top_p * total) {
                k = i + 1;
                break;
            }
        }
    }
    if (sp.min_p > 0.0f) { // p >= min_p * the largest
        while (k > 1 && p[order[k - 1]] < sp.min_p * p[order[0]]) {
            k--;
        }
    }
    total = 0.0;
    for (size_t i = 0; i < k; i++) {
        total += p[order[i]];
    }
    double at = u * total;
    for (size_t i = 0; i < k; i++) {
        at -= p[order[i]];
        if (at < 0.0) {
            return order[i];
        }
    }
    return order[k - 1];
}

void draw_some(ggml_tensor *, int, int, void * userdata) {
    Sampler & s = *(Sampler *) userdata;
    for (size_t i; (i = s.next.fetch_add(1)) < s.draws->size();) {
        Draw & d = (*s.draws)[i];
        d.token  = s.draw(d.logits, d.uniform);
    }
}

} // namespace

void draw_all(steer_device * dev, std::vector<Draw> & draws, int32_t n_vocab, const steer_sampling & sampling) {
    if (draws.empty()) {
        return;
    }
    Sampler s;
    s.sp    = sampling;
    s.n     = n_vocab;
    s.draws = &draws;
    if (draws.size() == 1) { // not worth waking anybody
        draw_some(nullptr, 0, 1, &s);
        return;
    }
    ggml_context_ptr ctx(
        ggml_init({ 4 * ggml_tensor_overhead() + ggml_graph_overhead_custom(4, false), nullptr, false }));
    if (!ctx) {
        throw std::bad_alloc();
    }
    ggml_cgraph * g = ggml_new_graph_custom(ctx.get(), 4, false);
    ggml_build_forward_expand(
        g, ggml_custom_4d(ctx.get(), GGML_TYPE_I32, 1, 1, 1, 1, nullptr, 0, draw_some, GGML_N_TASKS_MAX, &s));
    // On the host's threads, whatever the device: the logits lie in host memory.
    ggml_cplan           plan = ggml_graph_plan(g, dev->n_threads, dev->threadpool);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    if (ggml_graph_compute(g, &plan) != GGML_STATUS_SUCCESS) {
        throw std::runtime_error("the threads of the device failed to draw tokens");
    }
}

} // namespace steer
