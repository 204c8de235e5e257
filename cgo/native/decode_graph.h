// decode_graph.h: libllama's decoding graph with our kernels in it.
//
// The CPU backend of a session's context calls DecodeGraph::compute instead of its own
// function. It rewrites the graph: every frozen linear layer with its LoRA chain, bias, RMS norm,
// SwiGLU or GeGLU and residual around it becomes one or two custom nodes, RoPE and attention over
// the half-precision cache one each; what is not recognized is copied and runs as before.
// The rewritten graph has memory of its own; weights, cache, inputs and the logits stay
// where libllama has them. It is kept as long as libllama reuses its graph.
#pragma once

#include "cpu/decode.h"

#include "ggml-cpp.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace steer {

struct LoraMatch {
    const ggml_tensor *a, *b;
    float              scale;
};

// y = W^T x + sum scale_l B_l^T A_l^T x (+ residual, or bias)
struct LinearMatch {
    ggml_tensor *          W        = nullptr;
    ggml_tensor *          x        = nullptr;
    ggml_tensor *          residual = nullptr;
    std::vector<LoraMatch> loras;
};

// What a graph's nodes are to us.
class DecodeMatch {
  public:
    DecodeMatch(const ggml_cgraph * g, bool exact);

    const LinearMatch * linear(const ggml_tensor * t) const;
    bool                rope(const ggml_tensor * t) const;
    bool                attention(const ggml_tensor * t) const;
    // The input of a linear layer is RMS norm times weight, or a gate times another input. ggml's own CPU
    // kernel of GeGLU reads a table of half floats; ours, as the training graph, computes it.
    static bool norm(const ggml_tensor * x);
    static bool gated(const ggml_tensor * x);
    // Not computed in this graph: a leaf, or a view of one.
    bool external(const ggml_tensor * t) const;
    // Nobody in the graph reads it.
    bool sink(const ggml_tensor * t) const { return uses(t) == 0; }
    // The linear layers that read x, in the order of the graph.
    std::vector<const LinearMatch *> readers(const ggml_tensor * x) const;
    // Nodes that must be computed before t is, when t is replaced by what it was recognized as.
    std::vector<ggml_tensor *> needs(ggml_tensor * t) const;

  private:
    int  uses(const ggml_tensor * t) const;
    void match_mul_mat(ggml_tensor * t);
    void match_add(ggml_tensor * t);
    bool match_lora(const ggml_tensor * t, const ggml_tensor * x, LoraMatch * out) const;

    bool exact_;
    std::unordered_map<const ggml_tensor *, int>         uses_; // of each node
    std::unordered_map<const ggml_tensor *, LinearMatch> linears_;
    std::unordered_map<const ggml_tensor *, std::vector<const LinearMatch *>> readers_;
};

class DecodeGraph {
  public:
    explicit DecodeGraph(bool exact) : exact_(exact) {}

    // The graph to be computed in from's place. Throws std::bad_alloc.
    ggml_cgraph * rewrite(const ggml_cgraph * from);
    // Bytes of memory that rewrite would obtain for from, whose tensors have none yet. It writes
    // into from that they have, so from is only to be thrown away afterwards.
    size_t measure(ggml_cgraph * from, ggml_backend_buffer_t none);
    // Nodes of the last graph that ggml computes: "ADD 2, GET_ROWS 3", sorted.
    const std::string & rest() const { return rest_; }
    int64_t             rewrites() const { return rewrites_; }

  private:
    bool          known(const ggml_cgraph * from) const;
    void          remember(const ggml_cgraph * from);
    void          build(const ggml_cgraph * from);
    void          lay_out(const ggml_cgraph * from);
    ggml_tensor * emit(ggml_tensor * t, const DecodeMatch & m);
    ggml_tensor * emit_linear(ggml_tensor * t, const LinearMatch & l);
    ggml_tensor * emit_input(const LinearMatch & l, DecodeInput ** input);
    ggml_tensor * emit_rope(ggml_tensor * t);
    ggml_tensor * emit_attention(ggml_tensor * t);
    ggml_tensor * emit_copy(ggml_tensor * t);
    ggml_tensor * custom(ggml_custom_op_t fun, void * userdata, ggml_tensor * like,
                         std::initializer_list<ggml_tensor *> src);
    ggml_tensor * custom(ggml_custom_op_t fun, void * userdata, ggml_type type, const int64_t ne[GGML_MAX_DIMS],
                         std::initializer_list<ggml_tensor *> src);
    void          add(ggml_tensor * t);
    ggml_tensor * now(ggml_tensor * old) const; // old's place in the new graph

    struct Prepared {
        const ggml_tensor * x;
        DecodeInput *       input;
        ggml_tensor *       data;
    };
    struct Table {
        DecodeRope    rope;
        ggml_tensor * pos;
        ggml_tensor * data;
    };

    bool             exact_;
    ggml_context_ptr ctx_;
    ggml_gallocr_ptr alloc_;
    ggml_cgraph *    graph_ = nullptr;
    std::string      rest_;
    int64_t          rewrites_ = 0;

    // What the graph was made of: libllama's nodes, then leaves, as they were.
    std::vector<ggml_tensor>         seen_;
    std::vector<const ggml_tensor *> seen_at_;
    int                              n_nodes_ = 0;
    const Kernels *                  kernels_ = nullptr;

    // Of the graph being built.
    const DecodeMatch *                                  match_ = nullptr;
    std::unordered_map<const ggml_tensor *, ggml_tensor *> now_;
    std::vector<Prepared>                                prepared_;
    std::vector<Table>                                   tables_;
    std::unordered_map<const ggml_tensor *, ggml_tensor *> cells_;

    std::vector<std::unique_ptr<DecodeInput>>     inputs_;
    std::vector<std::unique_ptr<DecodeLinear>>    linears_;
    std::vector<std::unique_ptr<DecodeRope>>      ropes_;
    std::vector<std::unique_ptr<DecodeAttention>> attentions_;
};

} // namespace steer
