// decode_match.cpp: recognizes the parts of libllama's graph that have a fused operation.
// The patterns are those of llm_graph_context::build_lora_mm, build_norm, build_ffn and
// build_attn_mha (llama-graph.cpp).
#include "decode_graph.h"

#include "ops.h"

#include "ggml-impl.h"

#include <cstring>

namespace steer {

namespace {

bool leaf(const ggml_tensor * t) { return t && t->op == GGML_OP_NONE; }

bool matrix(const ggml_tensor * t) { return t && t->ne[2] == 1 && t->ne[3] == 1; }

bool f32_rows(const ggml_tensor * t) { return t && t->type == GGML_TYPE_F32 && matrix(t) && t->nb[0] == sizeof(float); }

bool leaf_f32(const ggml_tensor * t) { return leaf(t) && f32_rows(t) && ggml_is_contiguous(t); }

float f32_param(const ggml_tensor * t, int i) {
    float f;
    memcpy(&f, (const float *) t->op_params + i, sizeof f);
    return f;
}

} // namespace

DecodeMatch::DecodeMatch(const ggml_cgraph * g, bool exact) : exact_(exact) {
    for (int i = 0; i < g->n_nodes; i++) {
        uses_[g->nodes[i]] = 0;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        for (const ggml_tensor * s : g->nodes[i]->src) {
            auto it = s && s != g->nodes[i] ? uses_.find(s) : uses_.end();
            if (it != uses_.end()) {
                it->second++;
            }
        }
    }
    for (int i = 0; i < g->n_nodes; i++) {
        ggml_tensor * t = g->nodes[i];
        if (t->op == GGML_OP_MUL_MAT) {
            match_mul_mat(t);
        } else if (t->op == GGML_OP_ADD) {
            match_add(t);
        }
    }
    for (int i = 0; i < g->n_nodes; i++) {
        if (const LinearMatch * l = linear(g->nodes[i])) {
            readers_[l->x].push_back(l);
        }
    }
}

std::vector<const LinearMatch *> DecodeMatch::readers(const ggml_tensor * x) const {
    auto it = readers_.find(x);
    return it == readers_.end() ? std::vector<const LinearMatch *>() : it->second;
}

int DecodeMatch::uses(const ggml_tensor * t) const {
    auto it = uses_.find(t);
    return it == uses_.end() ? 0 : it->second;
}

const LinearMatch * DecodeMatch::linear(const ggml_tensor * t) const {
    auto it = linears_.find(t);
    return it == linears_.end() ? nullptr : &it->second;
}

bool DecodeMatch::external(const ggml_tensor * t) const {
    const ggml_tensor * root = t->view_src ? t->view_src : t;
    return uses_.find(root) == uses_.end() &&
           (t->op == GGML_OP_NONE || t->op == GGML_OP_VIEW || t->op == GGML_OP_RESHAPE || t->op == GGML_OP_PERMUTE ||
            t->op == GGML_OP_TRANSPOSE);
}

void DecodeMatch::match_mul_mat(ggml_tensor * t) {
    ggml_tensor *W = t->src[0], *x = t->src[1];
    if (leaf(W) && matrix(W) && W->nb[0] == ggml_type_size(W->type) && steer_weight_type_ok(W->type) && f32_rows(x) &&
        f32_rows(t)) {
        LinearMatch l;
        l.W         = W;
        l.x         = x;
        linears_[t] = l;
    }
}

// SCALE(MUL_MAT(B, MUL_MAT(A, x))), each read once.
bool DecodeMatch::match_lora(const ggml_tensor * t, const ggml_tensor * x, LoraMatch * out) const {
    if (t->op != GGML_OP_SCALE || uses(t) != 1 || f32_param(t, 1) != 0.0f) {
        return false;
    }
    const ggml_tensor * up = t->src[0];
    if (up->op != GGML_OP_MUL_MAT || uses(up) != 1) {
        return false;
    }
    const ggml_tensor * down = up->src[1];
    if (down->op != GGML_OP_MUL_MAT || uses(down) != 1 || down->src[1] != x) {
        return false;
    }
    *out = { down->src[0], up->src[0], f32_param(t, 0) };
    // The parameters of a live adapter are views of one flat tensor.
    return external(out->a) && external(out->b) && f32_rows(out->a) && f32_rows(out->b) && ggml_is_contiguous(out->a) &&
           ggml_is_contiguous(out->b);
}

void DecodeMatch::match_add(ggml_tensor * t) {
    for (int side = 0; side < 2; side++) {
        ggml_tensor *y = t->src[side], *other = t->src[1 - side];
        auto         it = linears_.find(y);
        if (it == linears_.end() || uses(y) != 1 || it->second.residual || (y->flags & GGML_TENSOR_FLAG_OUTPUT)) {
            continue;
        }
        LinearMatch l = it->second;
        LoraMatch   lora;
        if (side == 0 && match_lora(other, l.x, &lora)) {
            l.loras.push_back(lora);
            linears_.erase(other->src[0]); // its own products are no layers
            linears_.erase(other->src[0]->src[1]);
        } else if (leaf_f32(other) && other->ne[0] == t->ne[0] && ggml_nelements(other) == t->ne[0]) {
            l.residual = other; // a bias: the same arithmetic for one token as for many
        } else if (f32_rows(other) && ggml_are_same_shape(other, t)) {
            l.residual = other;
        } else {
            continue;
        }
        linears_.erase(it);
        linears_[t] = l;
        return;
    }
}

bool DecodeMatch::norm(const ggml_tensor * x) {
    return x->op == GGML_OP_MUL && x->src[0]->op == GGML_OP_RMS_NORM && leaf_f32(x->src[1]) &&
           x->src[1]->ne[0] == x->ne[0] && ggml_nelements(x->src[1]) == x->ne[0] && f32_rows(x->src[0]->src[0]);
}

bool DecodeMatch::gated(const ggml_tensor * x) {
    if (x->op != GGML_OP_GLU || (ggml_get_glu_op(x) != GGML_GLU_OP_SWIGLU && ggml_get_glu_op(x) != GGML_GLU_OP_GEGLU)) {
        return false;
    }
    return x->src[1] && f32_rows(x->src[0]) && f32_rows(x->src[1]) && x->src[0]->ne[0] == x->ne[0];
}

bool DecodeMatch::rope(const ggml_tensor * t) const {
    if (exact_ || t->op != GGML_OP_ROPE || t->type != GGML_TYPE_F32 || t->ne[3] != 1 ||
        t->src[0]->nb[0] != sizeof(float)) {
        return false;
    }
    const int mode = t->op_params[2];
    return (mode == GGML_ROPE_TYPE_NORMAL || mode == GGML_ROPE_TYPE_NEOX) && t->op_params[1] == t->ne[0] &&
           f32_param(t, 7) == 0.0f && leaf(t->src[1]) && (!t->src[2] || leaf(t->src[2]));
}

bool DecodeMatch::attention(const ggml_tensor * t) const {
    if (exact_ || t->op != GGML_OP_FLASH_ATTN_EXT || !t->src[3] || t->src[4] || f32_param(t, 1) != 0.0f) {
        return false;
    }
    const ggml_tensor *q = t->src[0], *k = t->src[1], *v = t->src[2], *mask = t->src[3];
    return q->type == GGML_TYPE_F32 && q->nb[0] == sizeof(float) && external(k) && external(v) &&
           k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 && k->nb[0] == 2 && v->nb[0] == 2 &&
           k->ne[0] == v->ne[0] && q->ne[2] % k->ne[2] == 0 && k->ne[2] == v->ne[2] && mask->op == GGML_OP_CPY &&
           leaf(mask->src[0]) && mask->src[0]->type == GGML_TYPE_F32 && mask->src[0]->ne[2] == 1 &&
           mask->src[0]->ne[3] == q->ne[3] && k->ne[3] == q->ne[3];
}

std::vector<ggml_tensor *> DecodeMatch::needs(ggml_tensor * t) const {
    std::vector<ggml_tensor *> n;
    if (const LinearMatch * l = linear(t)) {
        if (norm(l->x)) {
            n = { l->x->src[0]->src[0] };
        } else if (gated(l->x)) {
            n = { l->x->src[0], l->x->src[1] };
        } else {
            n = { l->x };
        }
        if (l->residual) {
            n.push_back(l->residual);
        }
    } else if (rope(t) || attention(t)) {
        n = { t->src[0] };
    } else {
        for (ggml_tensor * s : t->src) {
            if (s) {
                n.push_back(s);
            }
        }
        if (t->view_src) {
            n.push_back(t->view_src);
        }
    }
    return n;
}

} // namespace steer
