// graph.cpp: builds, allocates and runs one training graph at a time.
//
// ggml aborts the process on a wrong shape, so every operand is checked here first; the
// first mistake is kept and reported by steer_graph_alloc. Nodes run in creation order:
// in-place accumulation needs that order, and each node is put on the graph at once.
#include "native.h"

#include "ggml-impl.h"
#include "op_check.h"
#include "ops.h"
#include "plan.h"

#include <algorithm>
#include <cstring>
#include <memory>

struct steer_graph {
    steer::alive    alive;
    steer_device *  dev = nullptr;
    ggml_gallocr_t  alloc = nullptr;
    std::vector<uint8_t> meta; // memory of the tensor structs, reused
    ggml_context_ptr ctx;
    ggml_cgraph *   graph = nullptr;
    std::string     error;
    bool            allocated = false;
    steer::high_water activations, tables; // growth is counted, see plan.h
    ~steer_graph() {
        if (alloc) {
            ggml_gallocr_free(alloc);
        }
    }
};

namespace {

std::string shape(const ggml_tensor * t) {
    if (!t) {
        return "NULL";
    }
    std::string s = std::string(ggml_type_name(t->type)) + " [";
    for (int i = 0; i < ggml_n_dims(t); i++) {
        s += (i ? ", " : "") + std::to_string(t->ne[i]);
    }
    return s + "]";
}

bool fail(steer_graph * g, const std::string & what) {
    if (g->error.empty()) {
        g->error = what;
    }
    return false;
}

bool need(steer_graph * g, const char * op, bool ok, std::initializer_list<const ggml_tensor *> operands) {
    if (!g->error.empty()) {
        return false;
    }
    for (const auto * t : operands) {
        if (!t) {
            return fail(g, std::string(op) + ": an operand is missing");
        }
    }
    if (ok) {
        return true;
    }
    std::string s = std::string(op) + ": operands do not fit:";
    for (const auto * t : operands) {
        s += " " + shape(t);
    }
    return fail(g, s);
}

bool full(steer_graph * g) {
    if (g->graph->n_nodes + 2 < g->graph->size && g->graph->n_leafs + 2 < g->graph->size) {
        return false;
    }
    fail(g, "graph has more than " + std::to_string(g->graph->size) + " nodes");
    return true;
}

ggml_tensor * put(steer_graph * g, ggml_tensor * t) {
    if (full(g)) {
        return nullptr;
    }
    ggml_build_forward_expand(g->graph, t);
    return t;
}

} // namespace

int steer_graph_new(steer_device * dev, steer_graph ** out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        auto g   = std::make_unique<steer_graph>();
        g->dev   = dev;
        g->alloc = ggml_gallocr_new(ggml_backend_get_default_buffer_type(dev->backend));
        *out     = g.release();
    });
}

void steer_graph_free(steer_graph * g) { delete g; }

int steer_graph_begin(steer_graph * g, int32_t max_nodes, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        const size_t need = ggml_tensor_overhead() * (size_t) max_nodes + ggml_graph_overhead_custom(max_nodes, false);
        g->ctx.reset();
        if (g->meta.size() < need) {
            g->meta.resize(need);
            steer::count_allocation();
        }
        ggml_init_params ip = { g->meta.size(), g->meta.data(), true };
        g->ctx.reset(ggml_init(ip));
        g->graph     = ggml_new_graph_custom(g->ctx.get(), max_nodes, false);
        g->error.clear();
        g->allocated = false;
    });
}

int steer_graph_alloc(steer_graph * g, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (!g->error.empty()) {
            throw std::invalid_argument(g->error);
        }
        if (!ggml_gallocr_alloc_graph(g->alloc, g->graph)) {
            throw steer::coded_error(STEER_NO_MEMORY, "out of memory: no room for the activations of this batch");
        }
        g->allocated = true;
        g->activations.reach(ggml_gallocr_get_buffer_size(g->alloc, 0));
        g->tables.reach(g->graph->n_nodes + g->graph->n_leafs); // the allocator's tables hold an entry for each
        g->dev->work.reach(steer::work_bytes(g->dev, g->graph));
    });
}

int steer_graph_measure(steer_graph * g, steer_graph_use * out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (!g->error.empty()) {
            throw std::invalid_argument(g->error);
        }
        *out = {};
        // An allocator of its own: asking must not move what is in use.
        const int64_t before = steer::heap_in_use();
        std::unique_ptr<ggml_gallocr, decltype(&ggml_gallocr_free)> a(
            ggml_gallocr_new(ggml_backend_get_default_buffer_type(g->dev->backend)), ggml_gallocr_free);
        ggml_gallocr_reserve_n_size(a.get(), g->graph, nullptr, nullptr, &out->activations);
        out->tables = g->meta.size() + (size_t) std::max<int64_t>(0, steer::heap_in_use() - before);
        out->work   = steer::work_bytes(g->dev, g->graph);
    });
}

int32_t steer_graph_nodes(const steer_graph * g) { return g->graph->n_nodes; }
size_t  steer_graph_bytes(const steer_graph * g) { return ggml_gallocr_get_buffer_size(g->alloc, 0); }

int steer_graph_compute(steer_graph * g, int32_t from, int32_t to, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (!g->allocated || from < 0 || to < from || to > g->graph->n_nodes) {
            throw std::logic_error("graph is not allocated or the node range is wrong");
        }
        ggml_cgraph view = ggml_graph_view(g->graph, from, to);
        const ggml_status st = ggml_backend_graph_compute(g->dev->backend, &view);
        if (st == GGML_STATUS_ALLOC_FAILED) {
            throw steer::coded_error(STEER_NO_MEMORY, "out of memory in graph compute");
        }
        if (st != GGML_STATUS_SUCCESS) {
            throw std::runtime_error(std::string("graph compute: ") + ggml_status_to_string(st));
        }
    });
}

steer_tensor * steer_input(steer_graph * g, int type, int64_t ne0, int64_t ne1) {
    if (!g->error.empty() || full(g)) {
        return nullptr;
    }
    if (ne0 < 1 || ne1 < 1) {
        fail(g, "input: empty shape [" + std::to_string(ne0) + ", " + std::to_string(ne1) + "]");
        return nullptr;
    }
    ggml_tensor * t = ggml_new_tensor_2d(g->ctx.get(), type == STEER_I32 ? GGML_TYPE_I32 : GGML_TYPE_F32, ne0, ne1);
    ggml_set_input(t);
    return put(g, t);
}

void steer_keep(steer_tensor * t) {
    if (t) {
        ggml_set_output(t);
    }
}

steer_tensor * steer_view2d(steer_graph * g, steer_tensor * a, int64_t ne0, int64_t ne1, int64_t off) {
    if (!need(g, "view2d", a && a->type == GGML_TYPE_F32 && off >= 0 && off + ne0 <= a->ne[0] && ne1 <= a->ne[1], { a })) {
        return nullptr;
    }
    return put(g, ggml_view_2d(g->ctx.get(), a, ne0, ne1, a->nb[1], off * sizeof(float)));
}

steer_tensor * steer_view3d(steer_graph * g, steer_tensor * a, int64_t ne0, int64_t ne1) {
    if (!need(g, "view3d", a && a->type == GGML_TYPE_F32 && a->ne[0] == ne0 * ne1 && a->ne[2] == 1, { a })) {
        return nullptr;
    }
    return put(g, ggml_view_3d(g->ctx.get(), a, ne0, ne1, a->ne[1], ne0 * sizeof(float), a->nb[1], 0));
}

steer_tensor * steer_flat(steer_graph * g, steer_tensor * a) {
    if (!need(g, "flat", a && ggml_is_contiguous(a), { a })) {
        return nullptr;
    }
    return put(g, ggml_reshape_2d(g->ctx.get(), a, a->ne[0] * a->ne[1], a->ne[2]));
}

steer_tensor * steer_get_rows(steer_graph * g, steer_tensor * table, steer_tensor * ids) {
    if (!need(g, "get_rows", table && ids && ids->type == GGML_TYPE_I32 && ids->ne[1] == 1, { table, ids })) {
        return nullptr;
    }
    return put(g, ggml_get_rows(g->ctx.get(), table, ids));
}

steer_tensor * steer_add(steer_graph * g, steer_tensor * a, steer_tensor * b) {
    if (!need(g, "add", a && b && ggml_are_same_shape(a, b) && a->type == b->type, { a, b })) {
        return nullptr;
    }
    return put(g, ggml_add(g->ctx.get(), a, b));
}

steer_tensor * steer_mul(steer_graph * g, steer_tensor * a, steer_tensor * b) {
    if (!need(g, "mul", a && b && ggml_can_repeat(b, a) && a->type == GGML_TYPE_F32 && b->type == GGML_TYPE_F32, { a, b })) {
        return nullptr;
    }
    return put(g, ggml_mul(g->ctx.get(), a, b));
}

steer_tensor * steer_rms_norm(steer_graph * g, steer_tensor * a, float eps) {
    if (!need(g, "rms_norm", a && a->type == GGML_TYPE_F32 && eps >= 0, { a })) {
        return nullptr;
    }
    return put(g, ggml_rms_norm(g->ctx.get(), a, eps));
}

steer_tensor * steer_swiglu(steer_graph * g, steer_tensor * gate, steer_tensor * up) {
    if (!need(g, "swiglu", gate && up && ggml_are_same_shape(gate, up) && ggml_is_contiguous_1(gate) && ggml_is_contiguous_1(up), { gate, up })) {
        return nullptr;
    }
    return put(g, ggml_swiglu_split(g->ctx.get(), gate, up));
}

steer_tensor * steer_rope(steer_graph * g, steer_tensor * a, steer_tensor * pos, steer_tensor * freqs, const steer_rope_params * p, bool back) {
    const bool ok = a && pos && a->type == GGML_TYPE_F32 && pos->type == GGML_TYPE_I32 && a->ne[2] == pos->ne[0] && p->n_dims <= a->ne[0] &&
                    p->n_dims % 2 == 0 && a->nb[0] == sizeof(float) && (!freqs || (freqs->type == GGML_TYPE_F32 && freqs->ne[0] >= p->n_dims / 2));
    if (!need(g, "rope", ok, { a, pos })) {
        return nullptr;
    }
    auto * f = back ? ggml_rope_ext_back : ggml_rope_ext;
    return put(g, f(g->ctx.get(), a, pos, freqs, p->n_dims, p->mode, p->n_ctx_orig, p->freq_base, p->freq_scale, p->ext_factor, p->attn_factor,
                    p->beta_fast, p->beta_slow));
}

steer_tensor * steer_custom(steer_graph * g, int op, int type, int64_t ne0, int64_t ne1, bool inplace, steer_tensor * const * src, int32_t n_src,
                            const steer_op_args * args) {
    const steer_op * desc = steer_op_get((steer_op_id) op);
    if (!desc) {
        fail(g, "there is no custom op number " + std::to_string(op));
        return nullptr;
    }
    std::vector<ggml_tensor *> operands;
    for (int32_t i = 0; i < n_src; i++) {
        if (!need(g, desc->name, true, { src[i] })) {
            return nullptr;
        }
        operands.push_back(src[i]);
    }
    if (n_src < 1 || n_src >= GGML_MAX_SRC || ne0 < 1 || ne1 < 1) {
        fail(g, std::string(desc->name) + ": wrong number of operands or empty result");
        return nullptr;
    }
    const char * why = steer::check_op(op, operands.data(), n_src, ne0, ne1, inplace, args);
    if (why) {
        std::string s = std::string(desc->name) + ": " + why + ":";
        for (const auto * t : operands) {
            s += " " + shape(t);
        }
        fail(g, s + " -> [" + std::to_string(ne0) + ", " + std::to_string(ne1) + "]");
        return nullptr;
    }
    ggml_tensor * t;
    if (inplace) {
        t = ggml_custom_inplace(g->ctx.get(), operands[0], operands.data() + 1, n_src - 1, desc->cpu, GGML_N_TASKS_MAX, nullptr);
    } else {
        t = ggml_custom_4d(g->ctx.get(), type == STEER_BF16 ? GGML_TYPE_BF16 : GGML_TYPE_F32, ne0, ne1, 1, 1, operands.data(), n_src, desc->cpu,
                           GGML_N_TASKS_MAX, nullptr);
    }
    static_assert(sizeof(steer_op_args) == sizeof(steer_op_params), "the two must be the same 40 bytes");
    memcpy(steer_op_params_of(t), args, sizeof(*args));
    return put(g, t);
}

const char * steer_op_name(int op) {
    const steer_op * desc = steer_op_get((steer_op_id) op);
    return desc ? desc->name : "?";
}
