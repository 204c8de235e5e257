// decode_backend.h: hands the graphs of one libllama context to DecodeGraph.
#pragma once

#include "decode_graph.h"

struct llama_context;

namespace steer {

// Replaces the graph function of the CPU backend that belongs to a context, and of no other.
// The context may compute only while a Scope lives: ggml hands its own object to that
// function and nothing of ours, so the Scope says on this thread whose graph it is.
class DecodeBackend {
  public:
    explicit DecodeBackend(bool exact) : graph_(exact) {}
    void attach(llama_context * ctx);

    const DecodeGraph & graph() const { return graph_; }

    class Scope {
      public:
        explicit Scope(DecodeBackend & b);
        ~Scope();
        Scope(const Scope &)             = delete;
        Scope & operator=(const Scope &) = delete;
    };

  private:
    static ggml_status compute(ggml_backend_t backend, ggml_cgraph * graph, int batch);

    DecodeGraph graph_;
    ggml_status (*plain_)(ggml_backend_t, ggml_cgraph *, int) = nullptr; // the CPU backend's own
};

} // namespace steer
