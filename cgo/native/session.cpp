// session.cpp: decoding and sampling by libllama on live adapters.
#include "native.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

struct steer_session {
    steer::alive    alive;
    steer_model *   model = nullptr;
    llama_context * ctx   = nullptr;
    int32_t         n_seq_max = 0, n_ctx = 0, n_batch = 0;
    std::vector<float>   probs;
    std::vector<int32_t> order;
    ~steer_session() {
        if (ctx) {
            llama_free(ctx);
        }
    }
};

llama_context_params steer::session_params(const steer_device * dev, int32_t n_seq_max, int32_t n_ctx, int32_t n_batch, bool kv_f32) {
    llama_context_params p = llama_context_default_params();
    p.n_ctx           = (uint32_t) n_ctx * (uint32_t) n_seq_max;
    p.n_batch         = n_batch;
    p.n_ubatch        = std::min(n_batch, 512);
    p.n_seq_max       = n_seq_max;
    p.n_threads       = dev->n_threads;
    p.n_threads_batch = dev->n_threads;
    p.kv_unified      = false;
    p.op_offload      = false;
    p.no_perf         = true;
    if (kv_f32) {
        p.type_k          = GGML_TYPE_F32;
        p.type_v          = GGML_TYPE_F32;
        p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    return p;
}

int steer_session_new(steer_device * dev, steer_model * model, steer_lora * const * loras, int32_t n_loras, int32_t n_seq_max, int32_t n_ctx,
                      int32_t n_batch, bool kv_f32, steer_session ** out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (n_loras > 2) {
            throw std::invalid_argument("a decoding session takes at most two adapters, got " + std::to_string(n_loras));
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
            throw steer::coded_error(STEER_NO_MEMORY, "cannot open a decoding context: " + steer::take_log());
        }
        llama_attach_threadpool(s->ctx, dev->threadpool, dev->threadpool);
        // attached before the first decode and never changed: libllama reuses a graph
        // without looking at the list of adapters
        for (int32_t i = 0; i < n_loras; i++) {
            if (!loras[i]->adapter.ab_map.empty() && llama_set_adapter_lora(s->ctx, &loras[i]->adapter, 1.0f) != 0) {
                throw std::runtime_error("libllama refuses the adapter");
            }
        }
        *out = s.release();
    });
}

void steer_session_free(steer_session * s) { delete s; }
void steer_session_clear(steer_session * s) { llama_memory_clear(llama_get_memory(s->ctx), true); }
void steer_session_remove(steer_session * s, int32_t seq) { llama_memory_seq_rm(llama_get_memory(s->ctx), seq, -1, -1); }

namespace {

// Draws from softmax(logits / T) cut by top-k, then top-p, then min-p (the order of
// transformers' warpers), by inverting the cumulative distribution at u.
// Without cuts the candidates are walked in token order, else in order of probability.
int32_t sample(steer_session * s, const float * logits, int32_t n, const steer_sampling & sp, double u) {
    const int32_t best = (int32_t) (std::max_element(logits, logits + n) - logits);
    if (sp.temperature <= 0.0f) {
        return best;
    }
    const float inv_t = 1.0f / sp.temperature, top = logits[best];
    s->probs.resize(n);
    float * p = s->probs.data();
    for (int32_t i = 0; i < n; i++) {
        p[i] = std::exp((logits[i] - top) * inv_t);
    }
    const bool cut = (sp.top_k > 0 && sp.top_k < n) || (sp.top_p > 0.0f && sp.top_p < 1.0f) || sp.min_p > 0.0f;
    if (!cut) {
        double total = 0.0;
        for (int32_t i = 0; i < n; i++) {
            total += p[i];
        }
        double at = u * total;
        int32_t last = best;
        for (int32_t i = 0; i < n; i++) {
            if (p[i] > 0.0f) {
                last = i;
                at -= p[i];
                if (at < 0.0) {
                    return i;
                }
            }
        }
        return last; // rounding at the very end of the distribution
    }
    s->order.resize(n);
    std::iota(s->order.begin(), s->order.end(), 0);
    size_t k = sp.top_k > 0 && sp.top_k < n ? sp.top_k : n;
    auto more = [&](int32_t a, int32_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; };
    if (k < (size_t) n) {
        std::partial_sort(s->order.begin(), s->order.begin() + k, s->order.end(), more);
    } else {
        std::sort(s->order.begin(), s->order.end(), more);
    }
    double total = 0.0;
    for (size_t i = 0; i < k; i++) {
        total += p[s->order[i]];
    }
    if (sp.top_p > 0.0f && sp.top_p < 1.0f) { // smallest set whose mass reaches top_p
        double mass = 0.0;
        for (size_t i = 0; i < k; i++) {
            mass += p[s->order[i]];
            if (mass >= sp.top_p * total) {
                k = i + 1;
                break;
            }
        }
    }
    if (sp.min_p > 0.0f) { // p >= min_p * the largest
        while (k > 1 && p[s->order[k - 1]] < sp.min_p * p[s->order[0]]) {
            k--;
        }
    }
    total = 0.0;
    for (size_t i = 0; i < k; i++) {
        total += p[s->order[i]];
    }
    double at = u * total;
    for (size_t i = 0; i < k; i++) {
        at -= p[s->order[i]];
        if (at < 0.0) {
            return s->order[i];
        }
    }
    return s->order[k - 1];
}

} // namespace

int steer_session_decode(steer_session * s, int32_t n, const int32_t * tokens, const int32_t * pos, const int32_t * seq, const double * uniform,
                         const steer_sampling * sampling, int32_t * next, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        if (n < 1 || n > s->n_batch) {
            throw std::invalid_argument("a decode takes 1 to " + std::to_string(s->n_batch) + " tokens, got " + std::to_string(n));
        }
        const int32_t n_vocab = llama_vocab_n_tokens(s->model->vocab);
        std::vector<int32_t>        n_seq_id(n, 1);
        std::vector<llama_seq_id *> seq_ids(n);
        std::vector<int8_t>         want(n);
        std::vector<llama_seq_id>   ids(seq, seq + n);
        std::vector<int32_t>        tok(tokens, tokens + n), ps(pos, pos + n);
        for (int32_t i = 0; i < n; i++) {
            if (tokens[i] < 0 || tokens[i] >= n_vocab) {
                throw std::invalid_argument("token id " + std::to_string(tokens[i]) + " is outside the vocabulary of " + std::to_string(n_vocab));
            }
            if (seq[i] < 0 || seq[i] >= s->n_seq_max || pos[i] < 0 || pos[i] >= s->n_ctx) {
                throw steer::coded_error(STEER_KV_FULL, "sequence " + std::to_string(seq[i]) + ", position " + std::to_string(pos[i]) +
                    " is outside this session (" + std::to_string(s->n_seq_max) + " sequences of " + std::to_string(s->n_ctx) + " tokens)");
            }
            seq_ids[i] = &ids[i];
            want[i]    = uniform[i] >= 0.0;
        }
        llama_batch batch = { n, tok.data(), nullptr, ps.data(), n_seq_id.data(), seq_ids.data(), want.data() };
        steer::take_log();
        const int32_t rc = llama_decode(s->ctx, batch);
        if (rc == 1) {
            throw steer::coded_error(STEER_KV_FULL, "no room in the key-value cache");
        }
        if (rc != 0) {
            throw std::runtime_error("llama_decode failed with code " + std::to_string(rc) + ": " + steer::take_log());
        }
        for (int32_t i = 0; i < n; i++) {
            next[i] = -1;
            if (want[i]) {
                const float * logits = llama_get_logits_ith(s->ctx, i);
                if (!logits) {
                    throw std::runtime_error("libllama returned no logits");
                }
                next[i] = sample(s, logits, n_vocab, *sampling, uniform[i]);
            }
        }
    });
}

int steer_session_logits(steer_session * s, int32_t i, float * logits, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        const float * l = llama_get_logits_ith(s->ctx, i);
        if (!l) {
            throw std::runtime_error("no logits for token " + std::to_string(i) + " of the last decode");
        }
        memcpy(logits, l, llama_vocab_n_tokens(s->model->vocab) * sizeof(float));
    });
}
