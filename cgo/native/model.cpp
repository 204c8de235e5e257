// model.cpp: loading through libllama, hyper-parameters, weight tensors.
#include "native.h"

#include "llama-arch.h"
#include "llama-model.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>

steer_model::~steer_model() {
    if (model) {
        llama_model_free(model);
    }
}

namespace {
std::string no_room(const steer_device * dev, const char * path) {
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(dev->gpu, &free, &total);
    struct stat st;
    const double mb = 1e6, size = stat(path, &st) == 0 ? (double) st.st_size : 0;
    char text[256];
    snprintf(text, sizeof(text), "the weights (%.0f MB) do not fit on %s, where %.0f of %.0f MB are free", size / mb,
             dev->name.c_str(), free / mb, total / mb);
    return text;
}

// A chat mark of type USER_DEFINED is a token wherever a text spells it, even where special tokens are
// not asked for: whoever types one could end their turn and begin another. A mark is a CONTROL token,
// as libllama itself makes of those that end a turn. Other tokens of that type stay what they are:
// runs of blanks, for example, which the model was trained to read as one.
void marks_are_control(const llama_vocab * vocab) {
    const std::string ends[][2] = { { "<|", "|>" }, { "<\uff5c", "\uff5c>" } };
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        return; // which libllama must not be asked about
    }
    for (llama_token id = 0; id < llama_vocab_n_tokens(vocab); id++) {
        const auto & token = vocab->get_token_data(id);
        if (!(token.attr & LLAMA_TOKEN_ATTR_USER_DEFINED)) {
            continue;
        }
        for (const auto & [open, close] : ends) {
            const std::string & text = token.text;
            if (text.size() > open.size() + close.size() && text.compare(0, open.size(), open) == 0 &&
                text.compare(text.size() - close.size(), close.size(), close) == 0) {
                const_cast<llama_vocab::token_data &>(token).attr = LLAMA_TOKEN_ATTR_CONTROL;
            }
        }
    }
}

// From here on it is the weights in the host's memory that are the file's.
void watch(steer_model * m) {
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (const auto & it : m->model->tensors_by_name) {
        const ggml_tensor * t = it.second;
        if (t->buffer && ggml_backend_buffer_is_host(t->buffer)) {
            begin = std::min(begin, (uintptr_t) t->data);
            end   = std::max(end, (uintptr_t) t->data + ggml_nbytes(t));
        }
    }
    m->file->covers((const void *) std::min(begin, end), (const void *) end);
}
} // namespace

int steer_model_load(steer_device * dev, const char * path, bool check_tensors, steer_model ** out, char * err,
                     size_t err_len) {
    return steer::guard(err, err_len, [&] {
        steer::take_log();
        llama_model_params params = llama_model_default_params();
        ggml_backend_dev_t devices[] = { dev->gpu, nullptr };
        if (dev->gpu) {
            params.devices      = devices;
            params.n_gpu_layers = INT32_MAX; // all, and the output matrix; the token embedding stays on the host
            params.split_mode   = LLAMA_SPLIT_MODE_NONE;
        } else {
            params.n_gpu_layers = 0;
        }
        params.use_mmap        = true;
        params.use_extra_bufts = false; // repacked weights have no row layout: our kernels could not read them
        params.check_tensors   = check_tensors;
        auto m   = std::make_unique<steer_model>();
        m->dev   = dev;
        m->file  = std::make_unique<steer::mapped_file>(path);
        m->model = llama_model_load_from_file(path, params);
        if (!m->model) {
            std::string log = steer::take_log();
            if (dev->gpu && (log.find("out of memory") != std::string::npos ||
                             log.find("unable to allocate") != std::string::npos)) {
                throw steer::coded_error(STEER_NO_MEMORY, no_room(dev, path));
            }
            throw std::runtime_error("libllama cannot load it: " +
                                     (log.empty() ? std::string("no reason given") : log));
        }
        m->vocab = llama_model_get_vocab(m->model);
        marks_are_control(m->vocab);
        for (const auto & it : m->model->tensors_by_name) {
            dev->check_weight(it.first, it.second);
        }
        watch(m.get());
        *out = m.release();
    });
}

void steer_model_free(steer_model * model) {
    steer::guard_quiet([&] {
        delete model;
        steer::trim_heap(); // vocabulary and graphs are many small pieces
    });
}

void steer_model_hparams(const steer_model * m, steer_hparams * out) {
    steer::guard_quiet([&] {
        const llama_model & mm = *m->model;
        const auto & hp = mm.hparams;
        memset(out, 0, sizeof(*out));
        out->n_layer         = hp.n_layer;
        out->n_embd          = hp.n_embd;
        out->n_ff            = hp.n_ff(0);
        out->n_head          = hp.n_head(0);
        out->n_head_kv       = hp.n_head_kv(0);
        out->head_dim        = hp.n_embd_head_k;
        out->n_vocab         = llama_vocab_n_tokens(m->vocab);
        out->n_ctx_train     = hp.n_ctx_train;
        out->rms_eps         = hp.f_norm_rms_eps;
        out->rope_freq_base  = hp.rope_freq_base_train;
        out->rope_type  = (int32_t) hp.rope_type;
        out->attn_scale = hp.f_attention_scale;
        out->attn_cap   = hp.attn_soft_cap ? hp.f_attn_logit_softcapping : 0;
        out->logit_cap  = mm.arch == LLM_ARCH_GEMMA2 || mm.arch == LLM_ARCH_GEMMA3 ? hp.f_final_logit_softcapping : 0;
        // on a GPU the output matrix of a tied model is a second tensor of the embedding's name
        out->tied       = mm.output == mm.tok_embd || (mm.output && strcmp(mm.output->name, "token_embd.weight") == 0);
        out->decodes    = hp.causal_attn && llama_model_has_decoder(&mm) && !llama_model_has_encoder(&mm) &&
                       !llama_model_is_recurrent(&mm) && !llama_model_is_hybrid(&mm);
        out->n_bytes    = (int64_t) llama_model_size(&mm);
        out->n_params   = (int64_t) llama_model_n_params(&mm);
    });
}

size_t steer_model_device_bytes(const steer_model * m) {
    return steer::guard_value<size_t>(0, [&] {
        size_t bytes = 0;
        for (const auto & it : m->model->memory_breakdown()) {
            bytes += m->dev->on_gpu(it.first) ? it.second : 0;
        }
        return bytes;
    });
}

void steer_model_desc(const steer_model * m, char * buf, size_t len) {
    steer::guard_quiet([&] { llama_model_desc(m->model, buf, len); });
}

steer_tensor * steer_model_tensor(steer_model * m, const char * name) {
    return steer::guard_value<steer_tensor *>(nullptr, [&]() -> steer_tensor * {
        if (strcmp(name, "output.weight") == 0) {
            return m->model->output;
        }
        if (strcmp(name, "token_embd.weight") == 0) {
            return m->model->tok_embd;
        }
        return const_cast<ggml_tensor *>(m->model->get_tensor(name));
    });
}
