// upstream_probe.cpp: shows three upstream mistakes this program works around. Only tests
// call it: they go red when an update of ggml or libllama mends (or changes) one of them.
#include "native.h"

#include <algorithm>
#include <cmath>

namespace {

constexpr int64_t COLS = 48, ROWS = 6;
constexpr float   EPS  = 1e-5f;

// A fixed sequence of numbers between -1 and 1 (a linear congruential generator).
std::vector<float> numbers(uint32_t seed) {
    std::vector<float> x(COLS * ROWS);
    for (auto & v : x) {
        seed = seed * 1664525u + 1013904223u;
        v    = (float) (seed >> 8) / (1 << 23) - 1.0f;
    }
    return x;
}

// dx = r dz - r^3/n x (x.dz), r = 1/sqrt(mean(x^2) + eps)
void rms_norm_back(const float * dz, const float * x, double * dx) {
    double xx = 0, xdz = 0;
    for (int64_t i = 0; i < COLS; i++) {
        xx += (double) x[i] * x[i];
        xdz += (double) x[i] * dz[i];
    }
    const double r = 1.0 / std::sqrt(xx / COLS + EPS);
    for (int64_t i = 0; i < COLS; i++) {
        dx[i] = r * dz[i] - r * r * r / COLS * x[i] * xdz;
    }
}

// dx = y (dy - y.dy)
void soft_max_back(const float * dy, const float * y, double * dx) {
    double dot = 0;
    for (int64_t i = 0; i < COLS; i++) {
        dot += (double) y[i] * dy[i];
    }
    for (int64_t i = 0; i < COLS; i++) {
        dx[i] = y[i] * (dy[i] - dot);
    }
}

// Runs one backward operation on two computed operands whose memory the allocator may
// reuse, unless they are kept, and returns its largest error over its largest value.
double run(steer_device * dev, bool soft_max, bool keep0, bool keep1) {
    const std::vector<float> a = numbers(1);
    std::vector<float>       b = numbers(2);
    if (soft_max) { // y is a distribution
        for (int64_t r = 0; r < ROWS; r++) {
            double sum = 0;
            for (int64_t i = 0; i < COLS; i++) {
                sum += b[r * COLS + i] = std::exp(b[r * COLS + i]);
            }
            for (int64_t i = 0; i < COLS; i++) {
                b[r * COLS + i] = (float) (b[r * COLS + i] / sum);
            }
        }
    }
    ggml_init_params ip = { 64 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true };
    ggml_context_ptr ctx(ggml_init(ip));
    ggml_cgraph *    graph = ggml_new_graph(ctx.get());
    ggml_tensor *    in[2], *operand[2];
    for (int k = 0; k < 2; k++) {
        in[k] = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, COLS, ROWS);
        ggml_set_input(in[k]);
        operand[k] = ggml_scale(ctx.get(), in[k], 1.0f);
        if (k ? keep1 : keep0) {
            ggml_set_output(operand[k]);
        }
    }
    ggml_tensor * out = soft_max ? ggml_soft_max_ext_back(ctx.get(), operand[0], operand[1], 1.0f, 0.0f)
                                 : ggml_rms_norm_back(ctx.get(), operand[0], operand[1], EPS);
    ggml_set_output(out);
    ggml_build_forward_expand(graph, out);
    std::unique_ptr<ggml_gallocr, void (*)(ggml_gallocr_t)> alloc(
        ggml_gallocr_new(ggml_backend_get_default_buffer_type(dev->backend)), ggml_gallocr_free);
    if (!alloc || !ggml_gallocr_alloc_graph(alloc.get(), graph)) {
        throw std::bad_alloc();
    }
    ggml_backend_tensor_set(in[0], a.data(), 0, ggml_nbytes(in[0]));
    ggml_backend_tensor_set(in[1], b.data(), 0, ggml_nbytes(in[1]));
    if (ggml_backend_graph_compute(dev->backend, graph) != GGML_STATUS_SUCCESS) {
        throw std::runtime_error("probe: graph compute failed");
    }
    std::vector<float> got(COLS * ROWS);
    ggml_backend_tensor_get(out, got.data(), 0, ggml_nbytes(out));
    double error = 0, largest = 0;
    for (int64_t r = 0; r < ROWS; r++) {
        double want[COLS];
        (soft_max ? soft_max_back : rms_norm_back)(a.data() + r * COLS, b.data() + r * COLS, want);
        for (int64_t i = 0; i < COLS; i++) {
            error   = std::max(error, std::fabs(got[r * COLS + i] - want[i]));
            largest = std::max(largest, std::fabs(want[i]));
        }
    }
    return error / largest;
}

using context_ptr = std::unique_ptr<llama_context, void (*)(llama_context *)>;

context_ptr context(const steer_device * dev, const steer_model * model) {
    llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = 64;
    p.n_threads = p.n_threads_batch = dev->n_threads;
    p.no_perf = true;
    context_ptr ctx(llama_init_from_model(model->model, p), llama_free);
    if (!ctx) {
        throw std::bad_alloc();
    }
    return ctx;
}

std::vector<float> logits(llama_context * ctx, const steer_model * model) {
    llama_memory_clear(llama_get_memory(ctx), true);
    int32_t tokens[4] = { 1, 2, 3, 4 };
    if (llama_decode(ctx, llama_batch_get_one(tokens, 4)) != 0) {
        throw std::runtime_error("probe: decode failed");
    }
    const float * l = llama_get_logits_ith(ctx, -1);
    return std::vector<float>(l, l + llama_vocab_n_tokens(model->vocab));
}

double largest_difference(const std::vector<float> & a, const std::vector<float> & b) {
    double d = 0;
    for (size_t i = 0; i < a.size(); i++) {
        d = std::max(d, (double) std::fabs(a[i] - b[i]));
    }
    return d;
}

} // namespace

int steer_probe_rms_norm_back(steer_device * dev, double * reused, double * kept, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        *reused = run(dev, false, false, true);
        *kept   = run(dev, false, true, true);
    });
}

int steer_probe_soft_max_back(steer_device * dev, double * reused, double * kept, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        *reused = run(dev, true, true, false);
        *kept   = run(dev, true, true, true);
    });
}

int steer_probe_adapter_change(steer_device * dev, steer_model * model, steer_lora * lora, double * before,
                               double * set_after, double * clear_after, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        auto late = context(dev, model);
        const auto without = logits(late.get(), model);
        llama_set_adapter_lora(late.get(), &lora->adapter, 1.0f);
        *set_after = largest_difference(logits(late.get(), model), without);

        auto early = context(dev, model);
        llama_set_adapter_lora(early.get(), &lora->adapter, 1.0f);
        const auto with = logits(early.get(), model);
        *before = largest_difference(with, without);
        llama_clear_adapter_lora(early.get());
        *clear_after = largest_difference(logits(early.get(), model), with);
    });
}
