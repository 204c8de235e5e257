// decode_graph.cpp: builds the graph of fused operations out of libllama's.
#include "decode_graph.h"

#include "ggml-cpu.h"
#include "ggml-impl.h"

#include <cstring>
#include <map>
#include <new>
#include <unordered_set>

namespace steer {

// ---- whether the graph is the one of last time ---------------------------------------

bool DecodeGraph::known(const ggml_cgraph * from) const {
    if (!graph_ || kernels_ != &kernels() || n_nodes_ != from->n_nodes) {
        return false;
    }
    for (int i = 0; i < from->n_nodes; i++) {
        if (from->nodes[i] != seen_at_[i]) {
            return false;
        }
    }
    // Padding may only make equal tensors look different, which costs another layout.
    for (size_t i = 0; i < seen_.size(); i++) {
        // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
        if (memcmp(seen_at_[i], &seen_[i], sizeof(ggml_tensor)) != 0) {
            return false;
        }
    }
    return true;
}

void DecodeGraph::remember(const ggml_cgraph * from) {
    std::unordered_set<const ggml_tensor *> in;
    seen_.clear();
    kernels_ = &kernels();
    n_nodes_ = from->n_nodes;
    seen_at_.assign(from->nodes, from->nodes + from->n_nodes);
    in.insert(seen_at_.begin(), seen_at_.end());
    for (int i = 0; i < from->n_nodes; i++) {
        for (const ggml_tensor * s : from->nodes[i]->src) {
            if (s && in.insert(s).second) {
                seen_at_.push_back(s);
            }
        }
    }
    for (const ggml_tensor * t : seen_at_) {
        seen_.push_back(*t);
    }
}

ggml_cgraph * DecodeGraph::rewrite(const ggml_cgraph * from) {
    if (!known(from)) {
        graph_ = nullptr;
        build(from);
        remember(from);
        rewrites_++;
    }
    for (auto & l : linears_) {
        l->next.store(0, std::memory_order_relaxed);
    }
    for (auto & a : attentions_) {
        a->next.store(0, std::memory_order_relaxed);
    }
    return graph_;
}

// ---- building ------------------------------------------------------------------------

void DecodeGraph::lay_out(const ggml_cgraph * from) {
    const size_t room = 2 * (size_t) from->n_nodes + 64; // of a node two are made at most
    ctx_.reset(
        ggml_init({ room * ggml_tensor_overhead() + ggml_graph_overhead_custom(2 * room, false), nullptr, true }));
    if (!ctx_) {
        throw std::bad_alloc();
    }
    ggml_cgraph * graph = ggml_new_graph_custom(ctx_.get(), 2 * room, false);
    now_.clear();
    prepared_.clear();
    tables_.clear();
    cells_.clear();
    inputs_.clear();
    linears_.clear();
    ropes_.clear();
    attentions_.clear();

    const DecodeMatch match(from, exact_);
    match_ = &match;
    std::unordered_set<const ggml_tensor *> needed;
    for (int i = from->n_nodes - 1; i >= 0; i--) {
        ggml_tensor * t = from->nodes[i];
        if (match.sink(t) || (t->flags & GGML_TENSOR_FLAG_OUTPUT)) {
            needed.insert(t);
        }
        if (needed.count(t)) {
            for (const ggml_tensor * n : match.needs(t)) {
                needed.insert(n);
            }
        }
    }
    graph_ = graph;
    std::map<std::string, int> rest;
    for (int i = 0; i < from->n_nodes; i++) {
        ggml_tensor * t = from->nodes[i];
        if (needed.count(t) && !match.external(t)) {
            now_[t] = emit(t, match);
            if (now_[t]->op != GGML_OP_CUSTOM && !ggml_op_is_empty(t->op)) {
                rest[ggml_op_name(t->op)]++;
            }
        }
    }
    match_ = nullptr;
    rest_.clear();
    for (const auto & r : rest) {
        rest_ += (rest_.empty() ? "" : ", ") + r.first + " " + std::to_string(r.second);
    }

    // What is read from outside, so that the allocator's table of tensors is large enough.
    std::unordered_set<const ggml_tensor *> in(graph->nodes, graph->nodes + graph->n_nodes);
    for (int i = 0; i < graph->n_nodes; i++) {
        for (ggml_tensor * s : graph->nodes[i]->src) {
            if (s && in.insert(s).second) {
                graph->leafs[graph->n_leafs++] = s;
            }
        }
    }
    if (!alloc_) {
        alloc_.reset(ggml_gallocr_new(ggml_backend_cpu_buffer_type()));
    }
    if (!alloc_) {
        throw std::bad_alloc();
    }
}

void DecodeGraph::build(const ggml_cgraph * from) {
    lay_out(from);
    // Reserved anew: the allocator compares sizes only, and nodes may have changed places.
    if (!ggml_gallocr_reserve(alloc_.get(), graph_) || !ggml_gallocr_alloc_graph(alloc_.get(), graph_)) {
        graph_ = nullptr;
        throw std::bad_alloc();
    }
}

size_t DecodeGraph::measure(ggml_cgraph * from, ggml_backend_buffer_t none) {
    const auto outside = [&](ggml_tensor * t) {
        if (t && !t->data && !t->buffer) {
            t->buffer = none; // libllama will have put it somewhere
        }
    };
    for (int i = 0; i < from->n_nodes; i++) {
        outside(from->nodes[i]);
        for (ggml_tensor * s : from->nodes[i]->src) {
            outside(s);
        }
    }
    lay_out(from);
    size_t bytes = 0;
    ggml_gallocr_reserve_n_size(alloc_.get(), graph_, nullptr, nullptr, &bytes);
    remember(from); // takes memory, too
    graph_ = nullptr;
    return bytes;
}

ggml_tensor * DecodeGraph::now(ggml_tensor * old) const {
    auto it = now_.find(old);
    return it == now_.end() ? old : it->second; // not computed here: stays where it is
}

void DecodeGraph::add(ggml_tensor * t) { graph_->nodes[graph_->n_nodes++] = t; }

ggml_tensor * DecodeGraph::emit(ggml_tensor * t, const DecodeMatch & m) {
    ggml_tensor * n = nullptr;
    if (const LinearMatch * l = m.linear(t)) {
        n = emit_linear(t, *l);
    } else if (m.rope(t)) {
        n = emit_rope(t);
    } else if (m.attention(t)) {
        n = emit_attention(t);
    } else {
        return emit_copy(t);
    }
    if (m.sink(t) || (t->flags & GGML_TENSOR_FLAG_OUTPUT)) { // libllama reads it there
        n->data   = t->data;
        n->buffer = t->buffer;
    }
    return n;
}

ggml_tensor * DecodeGraph::custom(ggml_custom_op_t fun, void * userdata, ggml_type type,
                                  const int64_t ne[GGML_MAX_DIMS], std::initializer_list<ggml_tensor *> src) {
    ggml_tensor *         t = ggml_new_tensor(ctx_.get(), type, GGML_MAX_DIMS, ne);
    ggml_custom_op_params p = { fun, GGML_N_TASKS_MAX, userdata };
    ggml_set_op_params(t, &p, sizeof p);
    t->op = GGML_OP_CUSTOM;
    std::copy(src.begin(), src.end(), t->src);
    add(t);
    return t;
}

ggml_tensor * DecodeGraph::custom(ggml_custom_op_t fun, void * userdata, ggml_tensor * like,
                                  std::initializer_list<ggml_tensor *> src) {
    ggml_tensor * t = custom(fun, userdata, like->type, like->ne, src);
    ggml_set_name(t, like->name);
    return t;
}

ggml_tensor * DecodeGraph::emit_input(const LinearMatch & l, DecodeInput ** input) {
    for (const Prepared & p : prepared_) {
        if (p.x == l.x) {
            *input = p.input;
            return p.data;
        }
    }
    inputs_.push_back(std::make_unique<DecodeInput>());
    DecodeInput & in = *inputs_.back();
    in.bf16 = decode_bf16(exact_);
    in.K    = l.x->ne[0];
    in.T    = l.x->ne[1];
    ggml_tensor *a = l.x, *b = nullptr;
    if (DecodeMatch::norm(l.x)) {
        in.kind = DecodeInput::NORM;
        in.w    = l.x->src[1];
        in.eps  = ggml_get_op_params_f32(l.x->src[0], 0);
        a       = l.x->src[0]->src[0];
    } else if (DecodeMatch::gated(l.x)) {
        in.kind = ggml_get_glu_op(l.x) == GGML_GLU_OP_GEGLU ? DecodeInput::GEGLU : DecodeInput::SWIGLU;
        a       = l.x->src[0];
        b       = l.x->src[1];
    }
    // The LoRA products of every layer that reads it.
    for (const LinearMatch * other : match_->readers(l.x)) {
        for (const LoraMatch & lora : other->loras) {
            in.downs.push_back({ lora.a, lora.scale });
        }
    }
    const int64_t ne[] = { (int64_t) in.bytes(), 1, 1, 1 };
    ggml_tensor * data = custom(steer_decode_input, &in, GGML_TYPE_I8, ne, { now(a), b ? now(b) : nullptr });
    prepared_.push_back({ l.x, &in, data });
    *input = &in;
    return data;
}

ggml_tensor * DecodeGraph::emit_linear(ggml_tensor * t, const LinearMatch & l) {
    linears_.push_back(std::make_unique<DecodeLinear>());
    DecodeLinear & d    = *linears_.back();
    DecodeInput *  in   = nullptr;
    ggml_tensor *  data = emit_input(l, &in);
    d.input             = in;
    d.W                 = l.W;
    d.residual          = l.residual != nullptr;
    for (const LoraMatch & lora : l.loras) {
        for (int p = 0; p < (int) in->downs.size(); p++) {
            if (in->downs[p].A == lora.a) {
                d.ups.push_back({ p, lora.b });
            }
        }
    }
    ggml_tensor * n = custom(steer_decode_linear, &d, t, { data });
    if (l.residual) {
        n->src[1] = now(l.residual);
    }
    return n;
}

ggml_tensor * DecodeGraph::emit_rope(ggml_tensor * t) {
    DecodeRope r;
    r.dims        = (int) t->ne[0];
    r.neox        = t->op_params[2] == GGML_ROPE_TYPE_NEOX;
    r.freq_base   = ggml_get_op_params_f32(t, 5);
    r.freq_scale  = ggml_get_op_params_f32(t, 6);
    r.attn_factor = ggml_get_op_params_f32(t, 8);
    r.factors     = t->src[2];
    DecodeRope *  own   = nullptr;
    ggml_tensor * table = nullptr;
    for (size_t i = 0; i < tables_.size(); i++) {
        const DecodeRope & o = tables_[i].rope;
        if (tables_[i].pos == t->src[1] && o.dims == r.dims && o.neox == r.neox && o.freq_base == r.freq_base &&
            o.freq_scale == r.freq_scale && o.attn_factor == r.attn_factor && o.factors == r.factors) {
            own   = ropes_[i].get();
            table = tables_[i].data;
        }
    }
    if (!table) {
        ropes_.push_back(std::make_unique<DecodeRope>(r));
        own   = ropes_.back().get();
        const int64_t ne[] = { 2 * r.dims, t->src[1]->ne[0], 1, 1 };
        table = custom(steer_decode_rope_table, own, GGML_TYPE_F32, ne, { t->src[1] });
        tables_.push_back({ r, t->src[1], table });
    }
    return custom(steer_decode_rope, own, t, { now(t->src[0]), table });
}

ggml_tensor * DecodeGraph::emit_attention(ggml_tensor * t) {
    ggml_tensor * mask  = t->src[3]->src[0];
    ggml_tensor *& cells = cells_[mask];
    if (!cells) {
        const int64_t ne[] = { mask->ne[0] + 1, t->src[0]->ne[1] * t->src[0]->ne[3], 1, 1 };
        cells = custom(steer_decode_cells, nullptr, GGML_TYPE_I32, ne, { mask });
    }
    attentions_.push_back(std::make_unique<DecodeAttention>());
    DecodeAttention & a = *attentions_.back();
    a.k     = t->src[1];
    a.v     = t->src[2];
    a.scale = ggml_get_op_params_f32(t, 0);
    a.cap   = ggml_get_op_params_f32(t, 2);
    return custom(steer_decode_attention, &a, t, { now(t->src[0]), cells });
}

ggml_tensor * DecodeGraph::emit_copy(ggml_tensor * t) {
    ggml_tensor * n = ggml_new_tensor(ctx_.get(), t->type, GGML_MAX_DIMS, t->ne);
    *n = *t;
    for (ggml_tensor *& s : n->src) {
        s = s && s != t ? now(s) : s == t ? n : nullptr;
    }
    const bool outside = t->view_src && match_->external(t->view_src);
    if (t->view_src) {
        n->view_src = now(t->view_src);
    }
    if (!outside && !match_->sink(t) && !(t->flags & GGML_TENSOR_FLAG_OUTPUT)) {
        n->data   = nullptr;
        n->buffer = nullptr;
    }
    add(n);
    return n;
}

} // namespace steer
