// session.cpp: decoding and sampling by libllama on live adapters.
#include "decode_backend.h"
#include "native.h"
#include "sample.h"

#include <algorithm>
#include <cstring>
#include <sstream>

struct steer_session {
    steer::alive    alive;
    steer_model *   model = nullptr;
    llama_context * ctx   = nullptr;
    std::unique_ptr<steer::DecodeBackend> backend;
    int32_t         n_seq_max = 0, n_ctx = 0, n_batch = 0;
    ~steer_session() {
        if (ctx) {
            llama_free(ctx);
        }
    }
};

llama_context_params steer::session_params(const steer_device * dev, int32_t n_seq_max, int32_t n_ctx, int32_t n_batch,
                                           bool kv_f32) {
    llama_context_params p = llama_context_default_params();
    p.n_ctx           = (uint32_t) n_ctx * (uint32_t) n_seq_max;
    p.n_batch         = n_batch;
    p.n_ubatch        = std::min(n_batch, 512);
    p.n_seq_max       = n_seq_max;
    p.n_threads       = dev->n_threads;
    p.n_threads_batch = dev->n_threads;
    p.kv_unified      = false; // a stream for each sequence: attention then reads whole rows in order
    p.op_offload      = false;
    p.no_perf         = true;
    if (kv_f32) {
        p.type_k          = GGML_TYPE_F32;
        p.type_v          = GGML_TYPE_F32;
        p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    return p;
}

namespace {
// What libllama said. Of what it says when a GPU is full one line is the reason.
std::string why_not(const steer_device * dev) {
    std::string       log = steer::take_log();
    std::stringstream lines(log);
    for (std::string line; dev->gpu && std::getline(lines, line);) {
        if (line.find("out of memory") != std::string::npos) {
            return line + steer::room_left(dev);
        }
    }
    return log;
}
} // namespace

int steer_session_new(steer_device * dev, steer_model * model, steer_lora * const * loras, int32_t n_loras,
                      int32_t n_seq_max, int32_t n_ctx, int32_t n_batch, bool kv_f32, bool plain, steer_session ** out,
                      char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (n_loras > 2) {
            throw std::invalid_argument("a decoding session takes at most two adapters, got " +
                                        std::to_string(n_loras));
        }
        auto s       = std::make_unique<steer_session>();
        s->model     = model;
        s->n_seq_max = n_seq_max;
        s->n_ctx     = n_ctx;
        s->n_batch   = n_batch;

        const llama_context_params p = steer::session_params(dev, n_seq_max, n_ctx, n_batch, kv_f32);
        steer::take_log();
        s->ctx = llama_init_from_model(model->model, p);
        if (!s->ctx) {
            throw steer::coded_error(STEER_NO_MEMORY, "cannot open a decoding context of " + std::to_string(n_seq_max) +
                                                          " sequences of " + std::to_string(n_ctx) +
                                                          " tokens: " + why_not(dev));
        }
        s->backend = std::make_unique<steer::DecodeBackend>(kv_f32);
        if (!plain && !dev->gpu) { // our kernels take the place of the CPU's; a GPU decodes by ggml's own
            s->backend->attach(s->ctx);
        }
        llama_attach_threadpool(s->ctx, dev->threadpool, dev->threadpool);
        // Attached before the first decode and never changed: libllama reuses a graph
        // without looking at the list of adapters.
        for (int32_t i = 0; i < n_loras; i++) {
            if (!loras[i]->adapter.ab_map.empty() && llama_set_adapter_lora(s->ctx, &loras[i]->adapter, 1.0f) != 0) {
                throw std::runtime_error("libllama refuses the adapter");
            }
        }
        *out = s.release();
    });
}

void steer_session_free(steer_session * s) {
    steer::guard_quiet([&] {
        const std::unique_ptr<steer_session> own(s); // freed whatever the device says
        s->model->dev->note_use();
    });
}
void steer_session_clear(steer_session * s) {
    steer::guard_quiet([&] { llama_memory_clear(llama_get_memory(s->ctx), true); });
}
void steer_session_remove(steer_session * s, int32_t seq) {
    steer::guard_quiet([&] { llama_memory_seq_rm(llama_get_memory(s->ctx), seq, -1, -1); });
}

void steer_session_copy(steer_session * s, int32_t from, int32_t to, int32_t n) {
    steer::guard_quiet([&] {
        llama_memory_t memory = llama_get_memory(s->ctx);
        if (from != to) { // whole streams only; libllama moves the data before it decodes next
            llama_memory_seq_cp(memory, from, to, -1, -1);
        }
        llama_memory_seq_rm(memory, to, n, -1);
    });
}
namespace {
// Tokens to be decoded, as libllama wants them. The logits after those that `wanted` lists are kept.
struct Batch {
    std::vector<int32_t>        n_seq_id;
    std::vector<llama_seq_id>   ids;
    std::vector<llama_seq_id *> seq_ids;
    std::vector<int8_t>         want;
    std::vector<int32_t>        tok, ps;

    Batch(const steer_session * s, int32_t n, const int32_t * tokens, const int32_t * pos, const int32_t * seq)
        : n_seq_id(n, 1), ids(seq, seq + n), seq_ids(n), want(n), tok(tokens, tokens + n), ps(pos, pos + n) {
        const int32_t n_vocab = llama_vocab_n_tokens(s->model->vocab);
        for (int32_t i = 0; i < n; i++) {
            if (tok[i] < 0 || tok[i] >= n_vocab) {
                throw std::invalid_argument("token id " + std::to_string(tok[i]) + " is outside the vocabulary of " +
                                            std::to_string(n_vocab));
            }
            if (seq[i] < 0 || seq[i] >= s->n_seq_max || pos[i] < 0 || pos[i] >= s->n_ctx) {
                throw steer::coded_error(STEER_KV_FULL, "sequence " + std::to_string(seq[i]) + ", position " +
                                                            std::to_string(pos[i]) + " is outside this session (" +
                                                            std::to_string(s->n_seq_max) + " sequences of " +
                                                            std::to_string(s->n_ctx) + " tokens)");
            }
            seq_ids[i] = &ids[i];
        }
    }
    void keep_logits(int32_t n, const int32_t * wanted) {
        for (int32_t k = 0; k < n; k++) {
            if (wanted[k] < 0 || wanted[k] >= (int32_t) tok.size()) {
                throw std::invalid_argument("a draw after token " + std::to_string(wanted[k]) + " of a batch of " +
                                            std::to_string(tok.size()));
            }
            want[wanted[k]] = 1;
        }
    }
    llama_batch view() {
        return { (int32_t) tok.size(), tok.data(), nullptr, ps.data(), n_seq_id.data(), seq_ids.data(), want.data() };
    }
};

// llama_decode; what ggml-cuda throws says what was decoded, and what room is left if that is short.
int32_t decode(steer_session * s, const llama_batch & batch) {
    try {
        return llama_decode(s->ctx, batch);
    } catch (const std::exception & e) {
        std::string what = "decode of " + std::to_string(batch.n_tokens) + " tokens: " + e.what();
        if (what.find("out of memory") != std::string::npos) {
            what += steer::room_left(s->model->dev);
        }
        throw std::runtime_error(what);
    }
}

void check_decoded(int32_t rc, const steer_session * s, int32_t n) {
    if (rc == 1) {
        throw steer::coded_error(STEER_KV_FULL, "no room in the key-value cache");
    }
    if (rc == -2) {
        throw steer::coded_error(STEER_NO_MEMORY, "no room for a decode of " + std::to_string(n) + " tokens: " +
                                                      steer::take_log() + steer::room_left(s->model->dev));
    }
    if (rc != 0) {
        throw std::runtime_error("llama_decode failed with code " + std::to_string(rc) + ": " + steer::take_log());
    }
}

// The logits after a token of the last decode, kept by libllama until the next.
const float * logits_after(const steer_session * s, int32_t i) {
    const float * logits = llama_get_logits_ith(s->ctx, i);
    if (!logits) {
        throw std::runtime_error("no logits for token " + std::to_string(i) + " of the last decode");
    }
    return logits;
}
} // namespace

int steer_session_decode(steer_session * s, int32_t n, const int32_t * tokens, const int32_t * pos, const int32_t * seq,
                         int32_t n_draws, const int32_t * after, const double * uniform,
                         const steer_sampling * sampling, int32_t * next, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (n < 1 || n > s->n_batch) {
            throw std::invalid_argument("a decode takes 1 to " + std::to_string(s->n_batch) + " tokens, got " +
                                        std::to_string(n));
        }
        Batch batch(s, n, tokens, pos, seq);
        batch.keep_logits(n_draws, after);
        steer::take_log();
        const steer::DecodeBackend::Scope scope(*s->backend);
        check_decoded(decode(s, batch.view()), s, n);

        std::vector<steer::Draw> draws;
        draws.reserve(n_draws);
        for (int32_t k = 0; k < n_draws; k++) {
            draws.push_back({ logits_after(s, after[k]), uniform[k], -1 });
        }
        steer::draw_all(s->model->dev, draws, llama_vocab_n_tokens(s->model->vocab), *sampling);
        for (int32_t k = 0; k < n_draws; k++) {
            next[k] = draws[k].token;
            if (next[k] < 0) {
                throw std::runtime_error("the logits after token " + std::to_string(after[k]) +
                                         " of the batch are not numbers: are the weights or adapters?");
            }
        }
    });
}

size_t steer_session_rest(const steer_session * s, char * buf, size_t len) {
    return steer::guard_value<size_t>(0, [&] {
        const std::string & rest = s->backend->graph().rest();
        snprintf(buf, len, "%s", rest.c_str());
        return rest.size();
    });
}

int steer_session_logits(steer_session * s, int32_t i, float * logits, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        memcpy(logits, logits_after(s, i), llama_vocab_n_tokens(s->model->vocab) * sizeof(float));
    });
}
