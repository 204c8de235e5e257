// What every operation needs: rows of tensors, a thread's share, scratch memory.
#pragma once

#include "../ops.h"
#include "kernels.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace steer {

inline char * row_ptr(const ggml_tensor * t, int64_t r) {
    return (char *) t->data + r * t->nb[1];
}

inline float * row_f32(const ggml_tensor * t, int64_t r) {
    return (float *) row_ptr(t, r);
}

inline const int32_t * ints(const ggml_tensor * t) {
    return (const int32_t *) t->data;
}

// Distance of two rows in elements.
inline ptrdiff_t row_stride(const ggml_tensor * t) {
    return (ptrdiff_t) (t->nb[1] / ggml_element_size(t));
}

inline const steer_op_params & params_of(ggml_tensor * t) {
    return *steer_op_params_of(t);
}

// A breach is a bug of the graph builder, never of the user.
inline void check_f32(const ggml_tensor * t, int64_t ne0, int64_t ne1) {
    GGML_ASSERT(t->type == GGML_TYPE_F32 && t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == 1 && t->ne[3] == 1);
    GGML_ASSERT(t->nb[0] == sizeof(float) && t->nb[1] % sizeof(float) == 0);
}

inline bool is_bf16(const ggml_tensor * t) {
    return t->type == GGML_TYPE_BF16;
}

// Activations: f32 on the exact path, bf16 on the fast one.
inline void check_activation(const ggml_tensor * t, int64_t ne0, int64_t ne1) {
    if (!is_bf16(t)) {
        check_f32(t, ne0, ne1);
        return;
    }
    GGML_ASSERT(t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == 1 && t->ne[3] == 1);
    GGML_ASSERT(t->nb[0] == sizeof(uint16_t) && t->nb[1] % sizeof(uint16_t) == 0);
}

// Thread ith's contiguous share [begin, end) of n items.
struct Share {
    int64_t begin, end;
    Share(int64_t n, int ith, int nth) : begin(n * ith / nth), end(n * (ith + 1) / nth) {}
};

// Memory a thread keeps between operations, one growing buffer for each purpose.
enum Slot {
    SLOT_PANEL,
    SLOT_ROWS,
    SLOT_A,
    SLOT_B,
    SLOT_C,
    SLOT_D,
    SLOT_E,
    SLOT_F,
    SLOT_G,
    SLOT_H,
    SLOT_I,
    SLOT_ITEMS,
    SLOT_COPY,
    SLOT_KEYS,
    SLOT_LORA,
    SLOT_LORA_ROWS,
    SLOT_OUT,
    SLOT_SEGMENTS,
    SLOT_PATH,
    SLOT_COUNT
};

class Scratch {
  public:
    ~Scratch();
    // At least n items of T, 64-byte aligned, contents undefined.
    template <class T> T * get(Slot slot, size_t n) { return (T *) bytes(slot, n * sizeof(T)); }

  private:
    void * bytes(Slot slot, size_t size);
    void * data_[SLOT_COUNT] = {};
    size_t size_[SLOT_COUNT] = {};
};

Scratch & scratch();

// n elements of row r from `from` on as f32: where they lie, or widened into buf.
inline const float * row_widened(const ggml_tensor * t, int64_t r, int64_t from, int64_t n, float * buf) {
    if (!is_bf16(t)) {
        return row_f32(t, r) + from;
    }
    kernels().from_bf16((const uint16_t *) row_ptr(t, r) + from, buf, n);
    return buf;
}

// Writes rows of activations that are computed in f32.
class RowWriter {
  public:
    explicit RowWriter(ggml_tensor * dst) :
        dst_(dst),
        own_(is_bf16(dst) ? scratch().get<float>(SLOT_OUT, dst->ne[0]) : nullptr) {}
    // Where row r is to be computed; done(r) then puts it in its place.
    float * row(int64_t r) { return own_ ? own_ : row_f32(dst_, r); }
    void    done(int64_t r) {
        if (own_) {
            kernels().to_bf16(own_, (uint16_t *) row_ptr(dst_, r), dst_->ne[0]);
        }
    }

  private:
    ggml_tensor * dst_;
    float *       own_;
};

} // namespace steer
