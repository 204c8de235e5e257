// plan.cpp: the memory of graphs and sessions before it is allocated. Nothing here knows a
// formula: a graph or a decoding context is laid out as it would be, with buffers of no size, and
// the allocators are asked.
#include "decode_graph.h"
#include "native.h"

#include "ggml-impl.h"
#include "llama-context.h"
#include "llama-memory.h"
#include "llama-model.h"
#include "ops.h"

#include <algorithm>
#include <atomic>
#include <cstdio>

#ifdef __linux__
#include <unistd.h>
#endif
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
#include <malloc.h>
#define STEER_MALLINFO2 1
#endif

namespace steer {

namespace {
std::atomic<int64_t> allocations{ 0 }; // of the process, as the count of living objects is
}

void count_allocation() { allocations++; }

size_t work_bytes(const steer_device * dev, const ggml_cgraph * graph) {
    const ggml_cplan plan = ggml_graph_plan(graph, dev->n_threads, dev->threadpool);
    return plan.work_size;
}

ggml_backend_buffer * no_memory(const steer_device * dev, ggml_context * ctx) {
    ggml_backend_buffer * none = ggml_backend_buft_alloc_buffer(ggml_backend_get_default_buffer_type(dev->backend), 0);
    if (none) {
        for (ggml_tensor * t = ggml_get_first_tensor(ctx); t; t = ggml_get_next_tensor(ctx, t)) {
            t->buffer = none;
        }
    }
    return none;
}

int64_t heap_in_use() {
#ifdef STEER_MALLINFO2
    const struct mallinfo2 m = mallinfo2();
    return (int64_t) (m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

void trim_heap() {
#ifdef STEER_MALLINFO2
    malloc_trim(0);
#endif
}

namespace {

// While it lives, contexts of the model are laid out without memory, as libllama does for models
// loaded with no_alloc.
struct without_memory {
    llama_hparams & hp;
    explicit without_memory(llama_model * m) : hp(m->hparams) { hp.no_alloc = true; }
    ~without_memory() { hp.no_alloc = false; }
};

// Bytes that libllama holds for activations, on the GPU and in the host's memory.
struct activations {
    size_t gpu = 0, host = 0;
    void   reach(const activations & a) { // an allocator keeps the larger
        gpu  = std::max(gpu, a.gpu);
        host = std::max(host, a.host);
    }
};

// The graph of a decode, laid out without memory, and what libllama would hold for it.
ggml_cgraph * decode_graph(const steer_device * dev, llama_context * ctx, int32_t n_tokens, int32_t n_seqs,
                           int32_t n_outputs, activations * bytes) {
    size_t        sizes[GGML_MAX_SRC * 4] = {}; // one a backend
    const auto    full  = ctx->get_memory()->init_full();
    ggml_cgraph * graph = ctx->graph_reserve(n_tokens, n_seqs, n_outputs, full.get(), true, sizes);
    if (!graph) {
        throw std::runtime_error("cannot lay out a decode of " + std::to_string(n_tokens) + " tokens: " + take_log());
    }
    *bytes                           = {};
    const ggml_backend_sched_t sched = ctx->get_sched();
    for (int i = 0; i < ggml_backend_sched_get_n_backends(sched); i++) {
        const auto buft = ggml_backend_sched_get_buffer_type(sched, ggml_backend_sched_get_backend(sched, i));
        (dev->on_gpu(buft) ? bytes->gpu : bytes->host) += sizes[i];
    }
    return graph;
}

// Bytes of libllama's activations that are touched when DecodeGraph computes the graph: inputs and outputs.
size_t touched(const ggml_cgraph * graph) {
    size_t bytes = 0;
    for (int i = 0; i < graph->n_leafs; i++) {
        bytes += graph->leafs[i]->flags & GGML_TENSOR_FLAG_INPUT ? ggml_nbytes(graph->leafs[i]) : 0;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        bytes += graph->nodes[i]->flags & (GGML_TENSOR_FLAG_INPUT | GGML_TENSOR_FLAG_OUTPUT)
                     ? ggml_nbytes(graph->nodes[i])
                     : 0;
    }
    return bytes;
}

// Adds to out what decodes of so many tokens and outputs take when DecodeGraph computes them; a
// prompt's graph and then that of one token a sequence, as the tables of both are touched.
void measure_fused(const steer_device * dev, llama_context * ctx, bool exact, int32_t n_seqs, int32_t n_tokens,
                   int32_t n_outputs, steer_session_use * out) {
    const std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)> none(
        ggml_backend_buft_alloc_buffer(ggml_backend_get_default_buffer_type(dev->backend), 0),
        ggml_backend_buffer_free);
    const int64_t before = heap_in_use();
    DecodeGraph   fused(exact);
    activations   libllama;
    size_t        own = 0, theirs = 0;
    const int32_t tokens[] = { n_tokens, n_outputs };
    for (const int32_t n : tokens) {
        ggml_cgraph * graph = decode_graph(dev, ctx, n, std::min(n, n_seqs), std::min(n, n_outputs), &libllama);
        theirs              = std::max(theirs, std::min(libllama.host, touched(graph)));
        own                 = std::max(own, fused.measure(graph, none.get()));
    }
    out->compute = own + theirs;
    out->reserved += own;
    out->tables += (size_t) std::max<int64_t>(0, heap_in_use() - before);
}

// What libllama's own decoding of each of some shapes holds; an allocator keeps the largest.
struct decode_shape {
    int32_t n_tokens, n_outputs;
};
void reach(const steer_device * dev, llama_context * ctx, int32_t n_seqs, std::initializer_list<decode_shape> shapes,
           activations * a) {
    activations bytes;
    for (const decode_shape & s : shapes) {
        decode_graph(dev, ctx, s.n_tokens, std::min(s.n_tokens, n_seqs), s.n_outputs, &bytes);
        a->reach(bytes);
    }
}

struct context_deleter {
    void operator()(llama_context * ctx) const { llama_free(ctx); }
};
using context_ptr = std::unique_ptr<llama_context, context_deleter>;

context_ptr lay_out(llama_model * model, const llama_context_params & params) {
    context_ptr ctx(llama_init_from_model(model, params));
    if (!ctx) {
        throw std::runtime_error("cannot lay out a decoding context: " + take_log());
    }
    return ctx;
}

// Bytes of this process that lie in memory; where that cannot be told, those it has obtained.
int64_t resident() {
#ifdef __linux__
    long long pages = 0;
    if (FILE * f = std::fopen("/proc/self/statm", "r")) {
        const int got = std::fscanf(f, "%*d %lld", &pages);
        std::fclose(f);
        if (got == 1) {
            return pages * sysconf(_SC_PAGESIZE);
        }
    }
#endif
    return heap_in_use();
}

// What a context without buffers takes. libllama and ggml obtain far more for their tables than
// they touch, so memory is looked at, not malloc; other threads move too, hence the median.
size_t tables_of(llama_model * model, const llama_context_params & params) {
    int64_t takes[3];
    for (int64_t & t : takes) {
        trim_heap();
        const int64_t     before = resident();
        const context_ptr ctx    = lay_out(model, params);
        t                        = std::max<int64_t>(0, resident() - before);
    }
    std::sort(takes, takes + 3);
    return (size_t) takes[1];
}

} // namespace

} // namespace steer

int64_t steer_allocations(void) {
    int64_t bytes = 0, growths = 0;
    steer_cpu_scratch(&bytes, &growths);
    return steer::allocations.load() + growths;
}

size_t steer_scratch_bytes(void) {
    int64_t bytes = 0, growths = 0;
    steer_cpu_scratch(&bytes, &growths);
    return (size_t) bytes;
}

int steer_session_measure(steer_device * dev, steer_model * model, steer_lora * const * loras, int32_t n_loras,
                          int32_t n_seq_max, int32_t n_ctx, int32_t n_batch, bool kv_f32, int32_t n_tokens,
                          int32_t n_outputs, steer_session_use * out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (n_tokens < 1 || n_outputs < 1) {
            throw std::invalid_argument("a decode has at least one token and one output");
        }
        *out = {};
        steer::take_log();
        const llama_context_params p = steer::session_params(dev, n_seq_max, n_ctx, n_batch, kv_f32);
        const steer::without_memory none(model->model); // outlives the context below
        out->tables                  = steer::tables_of(model->model, p);
        const steer::context_ptr ctx = steer::lay_out(model->model, p);
        const auto &             cp   = ctx->get_cparams();
        const int32_t            most = (int32_t) std::min(cp.n_ctx, cp.n_ubatch);
        steer::activations       held;
        n_tokens  = std::min(n_tokens, most);
        n_outputs = std::min(n_tokens, n_outputs);
        if (dev->gpu) { // room is taken on opening, before there are adapters
            steer::reach(dev, ctx.get(), n_seq_max, { { most, most }, { n_seq_max, n_seq_max } }, &held);
        }
        for (int32_t i = 0; i < n_loras; i++) {
            if (!loras[i]->adapter.ab_map.empty() && llama_set_adapter_lora(ctx.get(), &loras[i]->adapter, 1.0f) != 0) {
                throw std::runtime_error("libllama refuses the adapter");
            }
        }
        const size_t n_vocab = llama_vocab_n_tokens(model->vocab);
        for (const auto & it : ctx->get_memory()->memory_breakdown()) {
            out->kv += it.second; // on a GPU all of it there
        }
        out->logits = n_vocab * n_outputs * sizeof(float);

        if (dev->gpu) {
            steer::reach(dev, ctx.get(), n_seq_max, { { n_tokens, n_outputs }, { n_outputs, n_outputs } }, &held);
            out->reserved = out->compute = held.gpu;
            out->host                    = held.host;
            return;
        }
        steer::decode_graph(dev, ctx.get(), most, n_seq_max, most, &held);
        out->reserved = held.host;
        steer::measure_fused(dev, ctx.get(), kv_f32, n_seq_max, n_tokens, n_outputs, out);
    });
}
