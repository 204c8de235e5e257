// The table of operations.

#include "../ops.h"

#include <cstring>

static_assert(sizeof(steer_op_params) + STEER_OP_PARAMS_OFFSET <= GGML_MAX_OP_PARAMS, "parameters do not fit");

// In the order of steer_op_id.
static const steer_op table[STEER_OP_COUNT] = {
    { "pack", steer_cpu_pack },
    { "norm", steer_cpu_norm },
    { "rope_table", steer_cpu_rope_table },
    { "rope", steer_cpu_rope },
    { "linear", steer_cpu_linear },
    { "linear_back", steer_cpu_linear_back },
    { "lora_down", steer_cpu_lora_down },
    { "lora_up_back", steer_cpu_lora_up_back },
    { "outer_acc", steer_cpu_outer_acc },
    { "lora_down_back", steer_cpu_lora_down_back },
    { "attn", steer_cpu_attn },
    { "attn_back", steer_cpu_attn_back },
    { "rms_back", steer_cpu_rms_back },
    { "swiglu", steer_cpu_swiglu },
    { "swiglu_back", steer_cpu_swiglu_back },
    { "head_logprob", steer_cpu_head_logprob },
    { "head_direction", steer_cpu_head_direction },
    { "head_direction_back", steer_cpu_head_direction_back },
    { "head_logprob_back", steer_cpu_head_logprob_back },
    { "head_kl", steer_cpu_head_kl },
    { "scalar_head", steer_cpu_scalar_head },
    { "scalar_head_back", steer_cpu_scalar_head_back },
    { "scalar_head_grad", steer_cpu_scalar_head_grad },
    { "scalar_head_grad_bias", steer_cpu_scalar_head_grad_bias },
    { "bias", steer_cpu_bias },
    { "scale", steer_cpu_scale },
    { "geglu", steer_cpu_geglu },
    { "geglu_back", steer_cpu_geglu_back },
};

extern "C" const steer_op * steer_op_get(steer_op_id id) {
    return id >= 0 && id < STEER_OP_COUNT ? &table[id] : nullptr;
}

extern "C" const steer_op * steer_op_by_name(const char * name) {
    for (const steer_op & op : table) {
        if (std::strcmp(op.name, name) == 0) {
            return &op;
        }
    }
    return nullptr;
}
