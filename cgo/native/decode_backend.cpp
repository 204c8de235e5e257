#include "decode_backend.h"

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "llama-context.h"

#include <stdexcept>

namespace steer {

namespace {
// Whose context decodes on this thread. A decode begins and ends on the engine thread.
thread_local DecodeBackend * decoding = nullptr;
} // namespace

ggml_status DecodeBackend::compute(ggml_backend_t backend, ggml_cgraph * graph, int batch) {
    if (!decoding) {
        return GGML_STATUS_FAILED;
    }
    try {
        return decoding->plain_(backend, decoding->graph_.rewrite(graph), batch);
    } catch (...) {
        return GGML_STATUS_ALLOC_FAILED;
    }
}

void DecodeBackend::attach(llama_context * ctx) {
    ggml_backend_sched_t sched = ctx->get_sched();
    for (int i = 0; i < ggml_backend_sched_get_n_backends(sched); i++) {
        ggml_backend_t b = ggml_backend_sched_get_backend(sched, i);
        if (!ggml_backend_is_cpu(b)) {
            throw std::runtime_error(std::string("a decoding context has a backend besides the CPU: ") +
                                     ggml_backend_name(b));
        }
        plain_                 = b->iface.graph_compute;
        b->iface.graph_compute = compute;
    }
}

DecodeBackend::Scope::Scope(DecodeBackend & b) { decoding = &b; }
DecodeBackend::Scope::~Scope() { decoding = nullptr; }

} // namespace steer
