#include "weights.h"

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace steer {

namespace {
std::atomic<int64_t> held{ 0 }, growths{ 0 }; // of all threads' Scratch
}

Scratch::~Scratch() {
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        std::free(data_[slot]);
        held -= (int64_t) size_[slot];
    }
}

void * Scratch::bytes(Slot slot, size_t size) {
    if (size_[slot] < size) {
        std::free(data_[slot]);
        held -= (int64_t) size_[slot];
        growths++;
        size         = (size + 4095) / 4096 * 4096;
        data_[slot]  = std::aligned_alloc(64, size);
        size_[slot]  = data_[slot] ? size : 0;
        held += (int64_t) size_[slot];
        if (!data_[slot]) {
            // There is no way to report an error from inside a graph node.
            GGML_ABORT("no memory for a kernel's scratch space (%zu bytes)", size);
        }
    }
    return data_[slot];
}

Scratch & scratch() {
    static thread_local Scratch s;
    return s;
}

namespace {

// Longest piece unpacked by way of f32 on the stack; a multiple of every block size.
constexpr int64_t PIECE = 1024;

} // namespace

void unpack_row_f32(ggml_type type, const void * src, float * dst, int64_t n) {
    if (!kernels().unpack_f32(type, src, dst, n)) {
        ggml_get_type_traits(type)->to_float(src, dst, n);
    }
}

void unpack_row_bf16(ggml_type type, const void * src, uint16_t * dst, int64_t n) {
    const Kernels & kern = kernels();
    if (kern.unpack_bf16(type, src, dst, n)) {
        return;
    }
    float        tmp[PIECE];
    const char * s = (const char *) src;
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t c = std::min(PIECE, n - i);
        unpack_row_f32(type, s + i / ggml_blck_size(type) * ggml_type_size(type), tmp, c);
        kern.to_bf16(tmp, dst + i, c);
    }
}

int64_t unpack_group(ggml_type type) {
    return std::max<int64_t>(PANEL, ggml_blck_size(type));
}

void panel_of_rows_f32(const ggml_tensor * W, int64_t n0, int lanes, int64_t k0, int64_t depth, float * rows,
                       float * panel) {
    const int width = panel_width(lanes);
    for (int l = 0; l < lanes; l++) {
        unpack_row_f32(W->type, weight_ptr(W, n0 + l, k0), rows + l * depth, depth);
    }
    if (lanes < width) {
        std::memset(rows + lanes * depth, 0, (width - lanes) * depth * sizeof(float));
    }
    kernels().transpose32((const uint32_t *) rows, depth, width, (int) depth, (uint32_t *) panel, width);
}

void panel_of_rows_bf16(const ggml_tensor * W, int64_t n0, int lanes, int64_t k0, int64_t depth, uint16_t * rows,
                        uint32_t * panel) {
    const int width = panel_width(lanes);
    for (int l = 0; l < lanes; l++) {
        unpack_row_bf16(W->type, weight_ptr(W, n0 + l, k0), rows + l * depth, depth);
    }
    if (lanes < width) {
        std::memset(rows + lanes * depth, 0, (width - lanes) * depth * sizeof(uint16_t));
    }
    kernels().transpose32((const uint32_t *) rows, depth / 2, width, (int) (depth / 2), panel, width);
}

void panels_of_cols_f32(const ggml_tensor * W, int64_t n0, int64_t depth, int64_t k0, int64_t cols, float * panel,
                        ptrdiff_t stride) {
    float tmp[PIECE];
    for (int64_t n = 0; n < depth; n++) {
        unpack_row_f32(W->type, weight_ptr(W, n0 + n, k0), tmp, cols);
        for (int64_t c = 0; c < cols; c += PANEL) {
            const int lanes = (int) std::min<int64_t>(PANEL, cols - c);
            const int width = panel_width(lanes);
            kernels().copy_padded(tmp + c, 0, 1, lanes, panel + c / PANEL * stride + n * width, width);
        }
    }
}

void panels_of_cols_bf16(const ggml_tensor * W, int64_t n0, int64_t depth, int64_t k0, int64_t cols,
                         uint32_t * panel, ptrdiff_t stride) {
    uint16_t        tmp[2][PIECE];
    const Kernels & kern = kernels();
    for (int64_t n = 0; n < depth; n += 2) {
        unpack_row_bf16(W->type, weight_ptr(W, n0 + n, k0), tmp[0], cols);
        unpack_row_bf16(W->type, weight_ptr(W, n0 + n + 1, k0), tmp[1], cols);
        for (int64_t c = 0; c < cols; c += PANEL) {
            const int  lanes = (int) std::min<int64_t>(PANEL, cols - c), width = panel_width(lanes);
            uint32_t * out   = panel + c / PANEL * stride + n / 2 * width;
            kern.interleave(tmp[0] + c, tmp[1] + c, out, lanes);
            std::memset(out + lanes, 0, (width - lanes) * sizeof(uint32_t));
        }
    }
}

} // namespace steer

extern "C" bool steer_weight_type_ok(ggml_type type) {
    return type >= 0 && type < GGML_TYPE_COUNT && ggml_blck_size(type) > 0 && ggml_blck_size(type) <= steer::PIECE &&
           (type == GGML_TYPE_F32 || ggml_get_type_traits(type)->to_float != nullptr);
}

extern "C" void steer_cpu_scratch(int64_t * bytes, int64_t * growths) {
    *bytes   = steer::held.load();
    *growths = steer::growths.load();
}
