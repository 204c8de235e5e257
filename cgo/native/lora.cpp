// lora.cpp: live adapters. One buffer holds the parameters; libllama's decode, the training
// graph and the optimizer all see the same tensors.
#include "native.h"

#include <cmath>
#include <cstring>

int steer_lora_new(steer_device * dev, steer_model * model, const steer_lora_pair * pairs, int32_t n_pairs, float alpha,
                   int32_t n_head, bool trainable, bool planned, steer_lora ** out, char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        auto lora = std::make_unique<steer_lora>();
        lora->dev = dev;

        const int64_t align = dev->param_alignment();
        int64_t count = 0, room = 0;
        auto    size  = [&](int64_t n) {
            count += n;
            room = (room + align - 1) / align * align + n;
        };
        for (int32_t i = 0; i < n_pairs; i++) {
            size((int64_t) pairs[i].n_in * pairs[i].rank);
            size((int64_t) pairs[i].rank * pairs[i].n_out);
        }
        if (n_head > 0) {
            size(n_head);
            size(1);
        }
        if (count == 0) {
            throw std::invalid_argument("an adapter needs at least one LoRA pair or a head");
        }
        lora->count = count;

        const int n_flat = trainable ? 4 : 1;
        ggml_init_params ip = { ggml_tensor_overhead() * (size_t) (n_flat + 2 * (2 * n_pairs + 2)), nullptr, true };
        lora->ctx.reset(ggml_init(ip));
        for (int k = 0; k < n_flat; k++) {
            lora->flat[k] = ggml_new_tensor_1d(lora->ctx.get(), GGML_TYPE_F32, room);
        }
        if (planned) {
            lora->buffer.reset(steer::no_memory(dev, lora->ctx.get()));
        } else {
            lora->buffer.reset(ggml_backend_alloc_ctx_tensors(lora->ctx.get(), dev->backend));
        }
        if (!lora->buffer) {
            steer::throw_no_memory(dev, (size_t) n_flat * room * sizeof(float),
                                   "an adapter of " + std::to_string(count) + " parameters" +
                                       (trainable ? ", its gradients and moments" : ""));
        }
        if (!planned) {
            ggml_backend_buffer_clear(lora->buffer.get(), 0);
        }

        int64_t at  = 0;
        auto    add = [&](int64_t ne0, int64_t ne1) {
            at = (at + align - 1) / align * align; // what lies between stays zero
            const size_t nb1 = ne0 * sizeof(float), off = at * sizeof(float);
            lora->params.push_back(ggml_view_2d(lora->ctx.get(), lora->flat[0], ne0, ne1, nb1, off));
            if (trainable) {
                lora->grads.push_back(ggml_view_2d(lora->ctx.get(), lora->flat[1], ne0, ne1, nb1, off));
            }
            at += ne0 * ne1;
        };
        lora->adapter.alpha = alpha;
        for (int32_t i = 0; i < n_pairs; i++) {
            const auto & p = pairs[i];
            ggml_tensor * w = steer_model_tensor(model, p.name);
            if (!w) {
                throw std::invalid_argument(std::string("the model has no weight called ") + p.name);
            }
            if (w->ne[0] != p.n_in || w->ne[1] != p.n_out) {
                throw std::invalid_argument(std::string(p.name) + ": the adapter is for a weight of [" +
                                            std::to_string(p.n_in) + ", " + std::to_string(p.n_out) +
                                            "], the model's is [" + std::to_string(w->ne[0]) + ", " +
                                            std::to_string(w->ne[1]) + "]");
            }
            add(p.n_in, p.rank);
            add(p.rank, p.n_out);
            lora->adapter.ab_map[p.name] = llama_adapter_lora_weight(lora->params[2 * i], lora->params[2 * i + 1]);
        }
        if (n_head > 0) {
            add(n_head, 1);
            add(1, 1);
        }
        *out = lora.release();
    });
}

void steer_lora_free(steer_lora * lora) {
    steer::guard_quiet([&] { delete lora; });
}

int64_t        steer_lora_count(const steer_lora * lora) { return lora->count; }
int64_t        steer_lora_room(const steer_lora * lora) { return lora->flat[STEER_PARAMS]->ne[0]; }
steer_tensor * steer_lora_param(steer_lora * lora, int32_t i) {
    return i >= 0 && (size_t) i < lora->params.size() ? lora->params[i] : nullptr;
}
steer_tensor * steer_lora_grad(steer_lora * lora, int32_t i) {
    return i >= 0 && (size_t) i < lora->grads.size() ? lora->grads[i] : nullptr;
}

namespace {
// Calls f(offset in the flat buffer, offset without what lies between tensors, length), bytes, for
// each tensor; once for all of them where nothing lies between.
template <typename F> void each_piece(const steer_lora * lora, F && f) {
    if (lora->flat[STEER_PARAMS]->ne[0] == lora->count) {
        f(0, 0, lora->count * sizeof(float));
        return;
    }
    size_t at = 0;
    for (const ggml_tensor * t : lora->params) {
        f(t->view_offs, at, ggml_nbytes(t));
        at += ggml_nbytes(t);
    }
}

float * data(const steer_lora * lora, int what) { return (float *) lora->flat[what]->data; }
int64_t room(const steer_lora * lora) { return steer_lora_room(lora); }
} // namespace

void steer_lora_read(const steer_lora * lora, int what, float * dst) {
    steer::guard_quiet([&] {
        each_piece(lora, [&](size_t from, size_t at, size_t n) {
            ggml_backend_tensor_get(lora->flat[what], (char *) dst + at, from, n);
        });
    });
}
void steer_lora_write(steer_lora * lora, int what, const float * src) {
    steer::guard_quiet([&] {
        each_piece(lora, [&](size_t to, size_t at, size_t n) {
            ggml_backend_tensor_set(lora->flat[what], (const char *) src + at, to, n);
        });
    });
}
void steer_lora_zero_grad(steer_lora * lora) {
    steer::guard_quiet(
        [&] { ggml_backend_tensor_memset(lora->flat[STEER_GRADS], 0, 0, ggml_nbytes(lora->flat[STEER_GRADS])); });
}
double steer_lora_grad_norm(const steer_lora * lora) {
    double norm = 0;
    steer::guard_quiet([&] { norm = std::sqrt(lora->dev->sumsq(data(lora, STEER_GRADS), room(lora))); });
    return norm;
}
void steer_lora_adamw(steer_lora * lora, float gscale, double lr, double beta1, double beta2, double eps,
                      double weight_decay, int64_t step) {
    steer::guard_quiet([&] {
        lora->dev->adamw(data(lora, STEER_PARAMS), data(lora, STEER_GRADS), data(lora, STEER_MOMENT1),
                         data(lora, STEER_MOMENT2), room(lora), lr, beta1, beta2, eps, weight_decay, gscale, step);
    });
}
