// device_gpu.cpp: an NVIDIA GPU as a device, through libsteer-cuda.so.
//
// Weights are copied to the GPU by libllama; only the token embedding stays on the host, where
// the few rows of a batch are looked up and sent over. The training graph is allocated in the
// GPU's memory and walked in order: a run of ggml's own operations goes to ggml-cuda as a view of
// the graph, a custom node is launched on the same stream. Nothing else runs on the host.
#include "native.h"

#include "cuda_library.h"
#include "ggml-impl.h"

#include <algorithm>
#include <cstring>

namespace {

// ggml-cuda captures CUDA graphs for batches of one; segments of a training graph are all
// different, so the attempt would only cost.
constexpr int NO_CUDA_GRAPH = 2;

// What a node made by get_rows holds instead of a CPU kernel. It is never called.
void rows_on_host(ggml_tensor *, int, int, void *) {}

const ggml_custom_op_params * custom(const ggml_tensor * t) { return (const ggml_custom_op_params *) t->op_params; }
bool is_rows_on_host(const ggml_tensor * t) { return t->op == GGML_OP_CUSTOM && custom(t)->fun == rows_on_host; }
bool is_view(const ggml_tensor * t) {
    return t->op == GGML_OP_NONE || t->op == GGML_OP_VIEW || t->op == GGML_OP_RESHAPE || t->op == GGML_OP_PERMUTE ||
           t->op == GGML_OP_TRANSPOSE;
}

// A sum of two f32 tensors without gaps: the residual stream's.
bool is_plain_add(const ggml_tensor * t) {
    if (t->op != GGML_OP_ADD) {
        return false;
    }
    for (const ggml_tensor * x : { t, (const ggml_tensor *) t->src[0], (const ggml_tensor *) t->src[1] }) {
        if (x->type != GGML_TYPE_F32 || !ggml_are_same_shape(x, t) || !ggml_is_contiguous(x) ||
            (uintptr_t) x->data % 16 != 0) {
            return false;
        }
    }
    return true;
}

std::string describe(const ggml_tensor * t) {
    std::string s = t->op != GGML_OP_CUSTOM ? ggml_op_desc(t)
                    : is_rows_on_host(t)    ? "get_rows"
                                            : steer_op_name(steer::op_of(t));
    for (int i = 0; i < GGML_MAX_SRC && t->src[i]; i++) {
        s += " " + steer::shape(t->src[i]);
    }
    return s + " -> " + steer::shape(t);
}

struct gpu_device : steer_device {
    const steer_cuda_api * api  = nullptr;
    steer_cuda_device *    cuda = nullptr;
    bool                   check_each = false;
    size_t                 opened = 0, most = 0; // bytes in use: when it had been opened, and the most that were seen
    std::vector<char>      rows; // of the embedding
    bool                   rows_on_way = false; // to the GPU: not to be changed before it is synchronized with
    std::vector<int32_t>   ids;

    ~gpu_device() override {
        if (cuda) {
            api->close(cuda); // frees the backend
        }
        backend = nullptr;
    }

    // Runs a function of the library's table.
    template <typename F> void call(F && f) const {
        char err[1024] = "";
        if (int code = f(err, sizeof(err))) {
            throw steer::coded_error(code, name + ": " + err + (code == STEER_NO_MEMORY ? steer::room_left(this) : ""));
        }
    }

    bool on_device(const ggml_tensor * t) const {
        const ggml_backend_buffer_t buffer = t->view_src ? t->view_src->buffer : t->buffer;
        return buffer && ggml_backend_supports_buft(backend, ggml_backend_buffer_get_type(buffer));
    }

    void check_weight(const std::string & name, const ggml_tensor * w) const override {
        if (name == "token_embd.weight" && w->buffer && ggml_backend_buffer_is_host(w->buffer)) {
            return;
        }
        if (!on_device(w)) {
            throw std::runtime_error("tensor " + name + " (" + steer::shape(w) + ") was not put on " + this->name +
                                     ": its type cannot be multiplied there");
        }
        if (w->ne[1] > 1 && !api->weight_type_ok(cuda, w->type)) {
            throw std::runtime_error("tensor " + name + ": no training on " + this->name + " with weights of type " +
                                     ggml_type_name(w->type));
        }
    }

    ggml_tensor * get_rows(ggml_context * ctx, ggml_tensor * table, ggml_tensor * ids) override {
        if (on_device(table)) {
            return ggml_get_rows(ctx, table, ids);
        }
        return ggml_custom_4d(ctx, GGML_TYPE_F32, table->ne[0], ids->ne[0], 1, 1, &ids, 1, rows_on_host, 1, table);
    }

    void check_graph(const ggml_cgraph * graph) const override {
        for (int i = 0; i < graph->n_nodes; i++) {
            ggml_tensor * t = graph->nodes[i];
            bool ok = on_device(t);
            for (int k = 0; k < GGML_MAX_SRC && t->src[k]; k++) {
                ok = ok && on_device(t->src[k]);
            }
            if (!ok) {
                throw std::logic_error(describe(t) + ": not all of it is in the memory of " + name +
                                       ", and no training node runs on the host");
            }
            if (t->op != GGML_OP_CUSTOM && !ggml_backend_supports_op(backend, t)) {
                throw std::runtime_error(describe(t) + ": " + name + " has no such operation");
            }
        }
    }

    void compute(ggml_cgraph * graph) override {
        for (int i = 0; i < graph->n_nodes;) {
            int to = i;
            while (to < graph->n_nodes && graph->nodes[to]->op != GGML_OP_CUSTOM && !is_plain_add(graph->nodes[to])) {
                to++;
            }
            if (to > i) {
                standard(graph, i, to);
                i = to;
                continue;
            }
            ggml_tensor * t = graph->nodes[i++];
            if (is_rows_on_host(t)) {
                look_up(t);
            } else if (is_plain_add(t)) {
                call([&](char * err, size_t n) {
                    return api->add(cuda, (const float *) t->src[0]->data, (const float *) t->src[1]->data,
                                    (float *) t->data, ggml_nelements(t), err, n);
                });
            } else {
                call([&](char * err, size_t n) { return api->launch(cuda, steer::op_of(t), t, err, n); });
            }
            if (check_each) {
                finish(graph, i - 1, i);
            }
        }
        if (graph->n_nodes > 0) {
            finish(graph, 0, graph->n_nodes);
            rows_on_way = false;
        }
    }

    // ggml's own operations, nodes from <= i < to
    void standard(ggml_cgraph * graph, int from, int to) {
        const ggml_tensor * first = nullptr;
        for (int i = from; i < to && !first; i++) {
            first = is_view(graph->nodes[i]) ? nullptr : graph->nodes[i];
        }
        if (!first) {
            return;
        }
        ggml_cgraph view = ggml_graph_view(graph, from, to);
        try {
            const ggml_status st = ggml_backend_graph_compute_async(backend, &view, NO_CUDA_GRAPH);
            if (st != GGML_STATUS_SUCCESS) {
                throw steer::coded_error(st == GGML_STATUS_ALLOC_FAILED ? STEER_NO_MEMORY : STEER_ERROR,
                                         ggml_status_to_string(st));
            }
        } catch (const std::exception & e) {
            throw std::runtime_error(name + ": " + describe(first) + ": " + e.what());
        }
        if (check_each) {
            finish(graph, from, to);
        }
    }

    // Waits for nodes from <= i < to. An error of the hardware shows only now.
    void finish(const ggml_cgraph * graph, int from, int to) const {
        char err[1024] = "";
        if (int code = api->synchronize(cuda, err, sizeof(err))) {
            std::string what = name + ": " + err + ", in " + describe(graph->nodes[to - 1]);
            if (to - from > 1) {
                what += " or one of the " + std::to_string(to - from - 1) + " operations before it, from " +
                        describe(graph->nodes[from]) + " on (check each operation to find it)";
            }
            throw steer::coded_error(code, what);
        }
    }

    // Rows of the embedding in host memory to the GPU, on the stream.
    void look_up(ggml_tensor * t) {
        const auto *    table = (const ggml_tensor *) custom(t)->userdata;
        const int64_t   n = t->ne[0], count = t->ne[1];
        const ggml_type type = row_type(table);
        const size_t    row  = ggml_row_size(type, n);
        if (t->type != GGML_TYPE_F32 || !ggml_is_contiguous(t)) {
            throw std::logic_error(describe(t) + ": rows are looked up into contiguous f32 only");
        }
        if (rows_on_way || t->src[0]->op != GGML_OP_NONE) { // ids that the graph computes are there only then
            finish_all();
        }
        ids.resize(count);
        rows.resize(row * count);
        ggml_backend_tensor_get(t->src[0], ids.data(), 0, count * sizeof(int32_t));
        for (int64_t i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= table->ne[1]) {
                throw std::invalid_argument("token id " + std::to_string(ids[i]) + " is outside the embedding of " +
                                            std::to_string(table->ne[1]));
            }
            const char * from = (const char *) table->data + ids[i] * table->nb[1];
            if (type == table->type) {
                memcpy(&rows[i * row], from, row);
            } else {
                ggml_get_type_traits(table->type)->to_float(from, (float *) &rows[i * row], n);
            }
        }
        rows_on_way = true;
        call([&](char * err, size_t len) {
            return api->unpack_rows(cuda, type, rows.data(), n, count, (float *) t->data, err, len);
        });
    }

    void finish_all() const {
        call([&](char * err, size_t n) { return api->synchronize(cuda, err, n); });
    }

    // 256 bytes, as CUDA's own allocations: kernels read in fours, cuBLAS wants 16 bytes
    int64_t param_alignment() const override { return 64; }

    double sumsq(const float * x, int64_t n) override {
        double sum = 0;
        call([&](char * err, size_t len) { return api->sumsq(cuda, x, n, &sum, err, len); });
        return sum;
    }

    void adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2, double eps,
               double wd, double gscale, int64_t step) override {
        call([&](char * err, size_t len) {
            return api->adamw(cuda, p, g, m, v, n, lr, b1, b2, eps, wd, gscale, step, err, len);
        });
        finish_all();
    }

    double gemm_rate() override {
        double rate = 0;
        call([&](char * err, size_t len) { return api->gemm_rate(cuda, 8192, &rate, err, len); });
        return rate;
    }

    void memory(steer_memory * out) override {
        note_use();
        ggml_backend_dev_memory(gpu, &out->free, &out->total);
        out->opened  = opened;
        out->most    = std::max(most, api->most_bytes(cuda));
        out->scratch = scratch_held();
    }

    size_t in_use() const {
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(gpu, &free, &total);
        return total - free;
    }

    void note_use() override { most = std::max(most, in_use()); }

    size_t scratch_bytes(const ggml_cgraph * graph) const override {
        size_t largest = 0;
        for (int i = 0; i < graph->n_nodes; i++) {
            ggml_tensor * t     = graph->nodes[i];
            size_t        bytes = 0;
            if (is_rows_on_host(t)) {
                const auto * table = (const ggml_tensor *) custom(t)->userdata;
                call([&](char * err, size_t n) {
                    return api->rows_scratch(cuda, row_type(table), t->ne[0], t->ne[1], &bytes, err, n);
                });
            } else if (t->op == GGML_OP_CUSTOM) {
                call([&](char * err, size_t n) {
                    return api->launch_scratch(cuda, steer::op_of(t), t, &bytes, err, n);
                });
            }
            largest = std::max(largest, bytes);
        }
        return largest;
    }

    size_t scratch_held() const override { return api->pool_bytes(cuda); }

    void reserve_scratch(size_t bytes) override {
        call([&](char * err, size_t n) { return api->reserve_scratch(cuda, bytes, err, n); });
    }

    // In which rows of the embedding travel: their own type if the GPU can unpack it, else f32.
    ggml_type row_type(const ggml_tensor * table) const {
        return api->weight_type_ok(cuda, table->type) ? table->type : GGML_TYPE_F32;
    }
};

// Whether there is code for a compute capability: real code runs on its own generation's
// devices of the same or a higher minor number.
bool has_code(const char * archs, int capability) {
    for (const char * p = archs; *p;) {
        char *    end;
        const int arch = (int) strtol(p, &end, 10);
        if (end == p) {
            break;
        }
        if (arch / 10 == capability / 10 && arch <= capability) {
            return true;
        }
        p = end;
    }
    return false;
}

} // namespace

std::unique_ptr<steer_device> steer::gpu_device(const steer_device_params & params, int index) {
    check_cuda_driver(params.driver ? params.driver : "");
    auto dev        = std::make_unique<::gpu_device>();
    dev->api        = load_cuda_library({ params.libraries, params.libraries + params.n_libraries });
    dev->check_each = params.check_each;
    dev->name       = "cuda:" + std::to_string(index);
    dev->api->set_log(steer::keep_log, nullptr);

    take_log(); // what follows is CUDA's
    const int count = dev->api->device_count();
    if (index >= count) {
        std::string there;
        for (int i = 0; i < count; i++) {
            there += (i ? ", cuda:" : "cuda:") + std::to_string(i) + " (" +
                     ggml_backend_dev_description(dev->api->device(i)) + ")";
        }
        throw std::invalid_argument("there is no device " + dev->name + "; there " +
                                    (count == 0   ? "is none: " + take_log()
                                     : count == 1 ? "is " + there
                                                  : "are " + there));
    }
    dev->gpu             = dev->api->device(index);
    const int capability = dev->api->compute_capability(index);
    const std::string description = ggml_backend_dev_description(dev->gpu);
    if (!has_code(dev->api->archs, capability)) {
        throw std::runtime_error(dev->name + " (" + description + ") is of architecture " + std::to_string(capability) +
                                 ", the CUDA library has code for " + dev->api->archs +
                                 ": run `make cuda CUDA_ARCH=" + std::to_string(capability) + "`");
    }
    dev->kernel = description + ", sm_" + std::to_string(capability);
    dev->call([&](char * err, size_t n) { return dev->api->open(index, &dev->cuda, err, n); });
    dev->backend = dev->api->backend(dev->cuda);
    dev->opened = dev->most = dev->in_use();
    dev->start_threads(params.n_threads);
    return dev;
}
