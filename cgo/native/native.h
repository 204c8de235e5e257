// native.h: the structs behind the handles of steer.h, for the files of this folder.
#pragma once

#include "guard.h"
#include "mapped_file.h"
#include "plan.h"
#include "steer.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "llama-adapter.h"
#include "llama.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

// A compute device. Every call leaves it idle, so that training, the optimizer and decoding,
// which have streams of their own on a GPU, can follow one another.
struct steer_device {
    steer::alive       alive;
    std::string        name;                 // "cpu", "cuda:0"
    std::string        kernel;               // the GPU's name; empty on a CPU, see kernel_name
    ggml_backend_t     backend    = nullptr; // of the training graph; its buffers are of this backend's default type
    ggml_backend_dev_t gpu        = nullptr; // where libllama puts weights and decodes; nullptr: on the host
    ggml_threadpool_t  threadpool = nullptr; // of what runs on the host
    int                n_threads  = 0;
    steer::high_water  work; // bytes that ggml keeps between computations for its own operations

    void start_threads(int n);
    // Whether buffers of this type lie in the GPU's memory. A GPU has types of its own for the host's memory, too.
    bool on_gpu(ggml_backend_buffer_type_t buft) const {
        return gpu && ggml_backend_buft_get_device(buft) == gpu && !ggml_backend_buft_is_host(buft);
    }

    virtual ~steer_device();
    // Throws if a weight of the training graph is not where, or not of a type, that compute can read.
    virtual void check_weight(const std::string & name, const ggml_tensor * w) const = 0;
    // Rows of table by ids [T] as a node, whose table may be in host memory.
    virtual ggml_tensor * get_rows(ggml_context * ctx, ggml_tensor * table, ggml_tensor * ids) = 0;
    // Throws if a node of an allocated graph could not run on this device, or not from its memory.
    virtual void check_graph(const ggml_cgraph * graph) const = 0;
    // Told of memory for activations before it is first touched.
    virtual void settle(void * base, size_t size) const { (void) base, (void) size; }
    // Runs the nodes of a graph (often a view of one) in order.
    virtual void compute(ggml_cgraph * graph) = 0;
    // How many elements the start of a parameter tensor is a multiple of.
    virtual int64_t param_alignment() const = 0;
    // steer_cpu_sumsq and steer_cpu_adamw (ops.h) on arrays in this device's memory.
    virtual double sumsq(const float * x, int64_t n) = 0;
    virtual void   adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2,
                         double eps, double wd, double gscale, int64_t step) = 0;
    // Operations a second of large products in bf16. Throws where the processor's own loops (cpu/peak.h) say it.
    virtual double gemm_rate() = 0;
    // Of a GPU's memory. On a CPU, whose memory is the process's, memory throws, the sizes are 0 and nothing happens.
    virtual void memory(steer_memory * out) = 0;
    // The memory in use may be at its highest now: something is about to be freed.
    virtual void note_use() {}
    // The most scratch memory in use at once when the graph is computed, which need not be allocated.
    virtual size_t scratch_bytes(const ggml_cgraph *) const { return 0; }
    virtual size_t scratch_held() const { return 0; }
    virtual void   reserve_scratch(size_t) {}
};

namespace steer {
// The number of the custom op of a GGML_OP_CUSTOM node, as steer_custom put it there.
int         op_of(const ggml_tensor * t);
// "of the N bytes of cuda:0 M are free"; on a CPU nothing
std::string room_left(const steer_device * dev);
// Throws that so many bytes for `what` are not to be had, with room_left.
[[noreturn]] void throw_no_memory(const steer_device * dev, size_t bytes, const std::string & what);
std::string shape(const ggml_tensor * t); // "f32 [576, 3]"

void keep_log(ggml_log_level level, const char * text, void *); // where ggml and libllama log

// Sends that log to keep_log and starts libllama, once in a process.
void start_llama();

// Sees every line that the calling thread logs, while it lives. An exception of see goes through what logs: only
// libllama's own code may be called then, which is C++.
class log_watch {
    std::function<void(const char *)> see;

  public:
    explicit log_watch(std::function<void(const char *)> f);
    ~log_watch();
    log_watch(const log_watch &)             = delete;
    log_watch & operator=(const log_watch &) = delete;
};

std::unique_ptr<steer_device> cpu_device(int n_threads);
std::unique_ptr<steer_device> gpu_device(const steer_device_params & params, int index);
} // namespace steer

struct steer_model {
    steer::alive    alive;
    steer_device *  dev   = nullptr;
    llama_model *   model = nullptr;
    const llama_vocab * vocab = nullptr;
    std::unique_ptr<steer::mapped_file> file;
    ~steer_model();
};

struct steer_lora {
    steer::alive  alive;
    steer_device * dev = nullptr;
    ggml_context_ptr        ctx;
    ggml_backend_buffer_ptr buffer;
    ggml_tensor * flat[4] = { nullptr, nullptr, nullptr, nullptr }; // parameters, gradients, m, v: [count]
    std::vector<ggml_tensor *> params; // views into flat[0]
    std::vector<ggml_tensor *> grads;  // views into flat[1]
    int64_t count = 0; // of parameters, without what lies between tensors for alignment
    llama_adapter_lora adapter; // what libllama's decode sees: the same tensors
};

namespace steer {
// How a decoding context of this shape is opened.
llama_context_params session_params(const steer_device * dev, int32_t n_seq_max, int32_t n_ctx, int32_t n_batch,
                                    bool kv_f32);
} // namespace steer
