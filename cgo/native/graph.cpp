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
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

namespace {
struct op_time {
    int64_t count   = 0;
    double  seconds = 0;
};
} // namespace

struct steer_graph {
    steer::alive    alive;
    steer_device *  dev = nullptr;
    ggml_gallocr_t  alloc = nullptr;
    std::vector<uint8_t> meta; // memory of the tensor structs, reused
    ggml_context_ptr ctx;
    ggml_cgraph *   graph = nullptr;
    int             failed = STEER_OK; // code of the first mistake, and what it was: no memory is needed to keep it
    char            error[512] = "";
    bool            allocated = false;
    steer::high_water activations, tables; // growth is counted, see plan.h
    std::pair<void *, size_t> settled = { nullptr, 0 }; // where the activations lay last time
    bool            profiling = false;
    std::map<std::string, op_time> profile; // by op
    ~steer_graph() {
        if (alloc) {
            ggml_gallocr_free(alloc);
        }
    }
};

std::string steer::shape(const ggml_tensor * t) {
    if (!t) {
        return "NULL";
    }
    std::string s = std::string(ggml_type_name(t->type)) + " [";
    for (int i = 0; i < ggml_n_dims(t); i++) {
        s += (i ? ", " : "") + std::to_string(t->ne[i]);
    }
    return s + "]";
}

int steer::op_of(const ggml_tensor * t) {
    return (int) (intptr_t) ((const ggml_custom_op_params *) t->op_params)->userdata;
}

namespace {

using steer::shape;

void keep(steer_graph * g, int code, const char * what) {
    if (g->failed == STEER_OK) {
        g->failed = code;
        steer::set_error(g->error, sizeof(g->error), what);
    }
}

bool fail(steer_graph * g, const std::string & what) {
    keep(g, STEER_ERROR, what.c_str());
    return false;
}

// For functions that add a node: what the body throws is kept as any other mistake is.
template <typename F> steer_tensor * node(steer_graph * g, F && body) {
    steer_tensor * t = nullptr;
    char           err[sizeof(g->error)];
    if (const int code = steer::guard(err, sizeof(err), [&] { t = body(); })) {
        keep(g, code, err);
        return nullptr;
    }
    return t;
}

void check(const steer_graph * g) {
    if (g->failed != STEER_OK) {
        throw steer::coded_error(g->failed, g->error);
    }
}

bool need(steer_graph * g, const char * op, bool ok, std::initializer_list<const ggml_tensor *> operands) {
    if (g->failed != STEER_OK) {
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

// Tells the device where the activations lie, once for each place.
void settle(steer_graph * g) {
    for (int32_t i = 0; i < g->graph->n_nodes; i++) {
        const ggml_tensor * t = g->graph->nodes[i];
        if (t->view_src || !t->buffer) {
            continue; // of other memory
        }
        const std::pair<void *, size_t> now = { ggml_backend_buffer_get_base(t->buffer),
                                                ggml_backend_buffer_get_size(t->buffer) };
        if (now != g->settled) {
            g->dev->settle(now.first, now.second);
            g->settled = now;
        }
        return;
    }
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

void steer_graph_free(steer_graph * g) {
    steer::guard_quiet([&] { delete g; });
}

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
        g->failed    = STEER_OK;
        g->allocated = false;
    });
}

int steer_graph_alloc(steer_graph * g, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        check(g);
        if (!ggml_gallocr_alloc_graph(g->alloc, g->graph)) {
            // The allocator believes in the memory it did not get: the next batch starts with a new one.
            ggml_gallocr_free(g->alloc);
            g->alloc = ggml_gallocr_new(ggml_backend_get_default_buffer_type(g->dev->backend));
            size_t bytes = 0;
            ggml_gallocr_reserve_n_size(g->alloc, g->graph, nullptr, nullptr, &bytes);
            ggml_gallocr_free(g->alloc);
            g->alloc = ggml_gallocr_new(ggml_backend_get_default_buffer_type(g->dev->backend));
            steer::throw_no_memory(g->dev, bytes, "the activations of this batch");
        }
        settle(g);
        g->dev->check_graph(g->graph);
        g->allocated = true;
        g->activations.reach(ggml_gallocr_get_buffer_size(g->alloc, 0));
        g->tables.reach(g->graph->n_nodes + g->graph->n_leafs); // the allocator's tables hold an entry for each
        g->dev->work.reach(steer::work_bytes(g->dev, g->graph));
    });
}

int steer_graph_measure(steer_graph * g, steer_graph_use * out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        check(g);
        *out = {};
        // An allocator of its own: asking must not move what is in use.
        const int64_t before = steer::heap_in_use();
        std::unique_ptr<ggml_gallocr, decltype(&ggml_gallocr_free)> a(
            ggml_gallocr_new(ggml_backend_get_default_buffer_type(g->dev->backend)), ggml_gallocr_free);
        ggml_gallocr_reserve_n_size(a.get(), g->graph, nullptr, nullptr, &out->activations);
        out->tables = g->meta.size() + (size_t) std::max<int64_t>(0, steer::heap_in_use() - before);
        out->work    = steer::work_bytes(g->dev, g->graph);
        out->scratch = g->dev->scratch_bytes(g->graph);
    });
}

int steer_graph_reserve_scratch(steer_graph * g, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] { g->dev->reserve_scratch(g->dev->scratch_bytes(g->graph)); });
}

int32_t steer_graph_nodes(const steer_graph * g) { return g->graph->n_nodes; }
size_t  steer_graph_bytes(const steer_graph * g) {
    return steer::guard_value<size_t>(0, [&] { return ggml_gallocr_get_buffer_size(g->alloc, 0); });
}

namespace {

void compute(steer_graph * g, int32_t from, int32_t to) {
    ggml_cgraph view = ggml_graph_view(g->graph, from, to);
    g->dev->compute(&view);
}

// The name of a node's op: our own for custom ops, ggml's for the rest.
std::string op_name(ggml_tensor * t) {
    if (t->op != GGML_OP_CUSTOM) {
        return ggml_op_desc(t);
    }
    const steer_op * desc = steer_op_get((steer_op_id) steer::op_of(t));
    // The custom op that is none of ours is of device_gpu.cpp.
    return desc && ((const ggml_custom_op_params *) t->op_params)->fun == desc->cpu ? desc->name : "get_rows";
}

// Node by node with a clock around each: starting the threads for every node costs some
// microseconds more than a run in one piece.
void compute_timed(steer_graph * g, int32_t from, int32_t to) {
    for (int32_t i = from; i < to; i++) {
        const auto start = std::chrono::steady_clock::now();
        compute(g, i, i + 1);
        op_time & t = g->profile[op_name(g->graph->nodes[i])];
        t.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        t.count++;
    }
}

} // namespace

void steer_graph_profile(steer_graph * g, bool on) {
    steer::guard_quiet([&] {
        g->profiling = on;
        g->profile.clear();
    });
}

int32_t steer_graph_profile_read(const steer_graph * g, steer_op_time * times, int32_t max) {
    return steer::guard_value<int32_t>(0, [&] {
        int32_t n = 0;
        for (const auto & [name, t] : g->profile) {
            if (n < max) {
                snprintf(times[n].op, sizeof(times[n].op), "%s", name.c_str());
                times[n].count   = t.count;
                times[n].seconds = t.seconds;
            }
            n++;
        }
        return n;
    });
}

int steer_graph_compute(steer_graph * g, int32_t from, int32_t to, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (!g->allocated || from < 0 || to < from || to > g->graph->n_nodes) {
            throw std::logic_error("graph is not allocated or the node range is wrong");
        }
        if (g->profiling) {
            compute_timed(g, from, to);
        } else {
            compute(g, from, to);
        }
    });
}

steer_tensor * steer_input(steer_graph * g, int type, int64_t ne0, int64_t ne1) {
    return node(g, [&]() -> steer_tensor * {
        if (g->failed != STEER_OK || full(g)) {
            return nullptr;
        }
        if (ne0 < 1 || ne1 < 1) {
            fail(g, "input: empty shape [" + std::to_string(ne0) + ", " + std::to_string(ne1) + "]");
            return nullptr;
        }
        ggml_tensor * t = ggml_new_tensor_2d(g->ctx.get(), type == STEER_I32 ? GGML_TYPE_I32 : GGML_TYPE_F32, ne0, ne1);
        ggml_set_input(t);
        return put(g, t);
    });
}

void steer_keep(steer_tensor * t) {
    if (t) {
        ggml_set_output(t);
    }
}

steer_tensor * steer_view2d(steer_graph * g, steer_tensor * a, int64_t ne0, int64_t ne1, int64_t offset) {
    return node(g, [&]() -> steer_tensor * {
        if (!need(g, "view2d", a && (a->type == GGML_TYPE_F32 || a->type == GGML_TYPE_BF16) && offset >= 0 &&
                             offset + ne0 <= a->ne[0] && ne1 <= a->ne[1], { a })) {
            return nullptr;
        }
        return put(g, ggml_view_2d(g->ctx.get(), a, ne0, ne1, a->nb[1], offset * ggml_element_size(a)));
    });
}

steer_tensor * steer_get_rows(steer_graph * g, steer_tensor * table, steer_tensor * ids) {
    return node(g, [&]() -> steer_tensor * {
        if (!need(g, "get_rows", table && ids && ids->type == GGML_TYPE_I32 && ids->ne[1] == 1, { table, ids })) {
            return nullptr;
        }
        return put(g, g->dev->get_rows(g->ctx.get(), table, ids));
    });
}

steer_tensor * steer_cont(steer_graph * g, steer_tensor * a) {
    return node(g, [&]() -> steer_tensor * {
        if (!need(g, "cont", a && a->type == GGML_TYPE_F32, { a })) {
            return nullptr;
        }
        return put(g, ggml_cont(g->ctx.get(), a));
    });
}

steer_tensor * steer_add(steer_graph * g, steer_tensor * a, steer_tensor * b) {
    return node(g, [&]() -> steer_tensor * {
        if (!need(g, "add", a && b && ggml_are_same_shape(a, b) && a->type == b->type, { a, b })) {
            return nullptr;
        }
        return put(g, ggml_add(g->ctx.get(), a, b));
    });
}

steer_tensor * steer_custom(steer_graph * g, int op, int type, int64_t ne0, int64_t ne1, bool inplace,
                            steer_tensor * const * src, int32_t n_src, const steer_op_args * args) {
    return node(g, [&]() -> steer_tensor * {
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
            t = ggml_custom_inplace(g->ctx.get(), operands[0], operands.data() + 1, n_src - 1, desc->cpu,
                                    GGML_N_TASKS_MAX, (void *) (intptr_t) op);
        } else {
            t = ggml_custom_4d(g->ctx.get(), type == STEER_BF16 ? GGML_TYPE_BF16 : GGML_TYPE_F32, ne0, ne1, 1, 1,
                               operands.data(), n_src, desc->cpu, GGML_N_TASKS_MAX, (void *) (intptr_t) op);
        }
        static_assert(sizeof(steer_op_args) == sizeof(steer_op_params), "the two must be the same 40 bytes");
        memcpy(steer_op_params_of(t), args, sizeof(*args));
        return put(g, t);
    });
}

const char * steer_op_name(int op) {
    const steer_op * desc = steer_op_get((steer_op_id) op);
    return desc ? desc->name : "?";
}
