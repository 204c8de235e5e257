// quantize_file.cpp: libllama's quantizer of whole models, from file to file. It tells how far it is only in its
// log, a line for each tensor; the log of its thread is watched for that, and there a run is stopped.
#include "guard.h"
#include "native.h"
#include "steer.h"

#include "llama.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <vector>

namespace {

// As libllama's llama-quant.cpp has it; llama.h knows a pointer to a vector of these as void.
struct tensor_quantization {
    std::string name; // a regular expression
    ggml_type   quant = GGML_TYPE_COUNT;
};

ggml_type type_or_default(int type) {
    if (type < 0) {
        return GGML_TYPE_COUNT;
    }
    if (type >= GGML_TYPE_COUNT || ggml_blck_size((ggml_type) type) == 0) {
        throw std::invalid_argument("there is no tensor type number " + std::to_string(type));
    }
    return (ggml_type) type;
}

// What libllama says last is why it failed; before that it tells of every matrix that got another type.
std::string reason(const std::string & log) {
    static const std::string says = "failed to quantize: ";
    const size_t             at   = log.rfind(says);
    return at == std::string::npos ? "it says no reason" : log.substr(at + says.size());
}

} // namespace

struct steer_quantizer {
    llama_model_quantize_params                         params = llama_model_quantize_default_params();
    std::vector<tensor_quantization>                    types;
    std::unordered_map<std::string, std::vector<float>> importance;
    std::atomic<int32_t>                                done{ 0 }, total{ 0 };
    std::atomic<bool>                                   stopped{ false };
    steer::alive                                        counted;

    // Sees a line of libllama's log. "[  12/ 290] blk.0... " begins a tensor.
    void watch(const char * line) {
        int now = 0, all = 0;
        if (sscanf(line, "[%d/%d]", &now, &all) != 2) {
            return;
        }
        done  = now - 1;
        total = all;
        if (stopped) {
            throw std::runtime_error("stopped");
        }
    }
};

int steer_quantizer_new(const steer_quantizer_params * p, steer_quantizer ** out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        auto q                            = std::make_unique<steer_quantizer>();
        q->params.ftype                   = (llama_ftype) p->ftype;
        q->params.nthread                 = p->n_threads;
        q->params.output_tensor_type      = type_or_default(p->output_type);
        q->params.token_embedding_type    = type_or_default(p->embedding_type);
        q->params.pure                    = p->pure;
        q->params.allow_requantize        = p->requantize;
        *out                              = q.release();
    });
}

int steer_quantizer_set_type(steer_quantizer * q, const char * pattern, int type, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] { q->types.push_back({ pattern, type_or_default(type) }); });
}

int steer_quantizer_set_importance(steer_quantizer * q, const char * tensor, const float * values, int64_t n,
                                   char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] { q->importance[tensor].assign(values, values + n); });
}

int steer_quantizer_run(steer_quantizer * q, const char * in, const char * out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        steer::start_llama();
        q->params.tensor_types = q->types.empty() ? nullptr : &q->types;
        q->params.imatrix      = q->importance.empty() ? nullptr : &q->importance;
        steer::take_log(); // what was logged before is not of this run
        uint32_t failed = 0;
        {
            steer::log_watch watch([q](const char * line) { q->watch(line); });
            failed = llama_model_quantize(in, out, &q->params);
        }
        if (failed) {
            throw std::runtime_error(reason(steer::take_log()));
        }
        q->done = q->total.load();
    });
}

void steer_quantizer_progress(const steer_quantizer * q, int32_t * done, int32_t * total) {
    *done  = q->done;
    *total = q->total;
}

void steer_quantizer_stop(steer_quantizer * q) { q->stopped = true; }

void steer_quantizer_free(steer_quantizer * q) {
    steer::guard_quiet([&] { delete q; });
}
