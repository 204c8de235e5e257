// native.h: the structs behind the handles of steer.h, for the files of this folder.
#pragma once

#include "guard.h"
#include "plan.h"
#include "steer.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "llama-adapter.h"
#include "llama.h"

#include <memory>
#include <string>
#include <vector>

struct steer_device {
    steer::alive      alive;
    ggml_backend_t    backend    = nullptr;
    ggml_threadpool_t threadpool = nullptr;
    int               n_threads  = 0;
    steer::high_water work; // bytes that ggml keeps between computations for its own operations
    ~steer_device();
};

struct steer_model {
    steer::alive    alive;
    steer_device *  dev   = nullptr;
    llama_model *   model = nullptr;
    const llama_vocab * vocab = nullptr;
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
    int64_t count = 0;
    llama_adapter_lora adapter; // what libllama's decode sees: the same tensors
};

namespace steer {
// how a decoding context of this shape is opened
llama_context_params session_params(const steer_device * dev, int32_t n_seq_max, int32_t n_ctx, int32_t n_batch, bool kv_f32);
} // namespace steer
