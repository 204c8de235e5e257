// Reading weights of any type into panels for the matrix kernels.
#pragma once

#include "common.h"

namespace steer {

// n elements from src, which begins a block of the type.
void unpack_row_f32(ggml_type type, const void * src, float * dst, int64_t n);
void unpack_row_bf16(ggml_type type, const void * src, uint16_t * dst, int64_t n);

// Elements that must be unpacked together; a power of two.
int64_t unpack_group(ggml_type type);

// Address of element k (a multiple of the block size) of row n.
inline const char * weight_ptr(const ggml_tensor * W, int64_t n, int64_t k) {
    return (const char *) W->data + n * W->nb[1] + k / ggml_blck_size(W->type) * ggml_type_size(W->type);
}

// Panel over rows: panel[k][lane] = W[k0 + k, n0 + lane], k < depth, padded with zeros to
// width panel_width(lanes). In bf16 two k share a 32-bit item (depth must be even).
// `rows` is scratch for PANEL * depth items of the kind.
void panel_of_rows_f32(const ggml_tensor * W, int64_t n0, int lanes, int64_t k0, int64_t depth, float * rows,
                       float * panel);
void panel_of_rows_bf16(const ggml_tensor * W, int64_t n0, int lanes, int64_t k0, int64_t depth, uint16_t * rows,
                        uint32_t * panel);

// Panels over columns: panel p covers columns k0 + 32p ..., panel[p][n][lane] =
// W[k0 + 32p + lane, n0 + n] for n < depth, columns < cols, padded to panel_width(lanes);
// panels are `stride` items apart. In bf16 two n share an item (depth must be even).
void panels_of_cols_f32(const ggml_tensor * W, int64_t n0, int64_t depth, int64_t k0, int64_t cols, float * panel,
                        ptrdiff_t stride);
void panels_of_cols_bf16(const ggml_tensor * W, int64_t n0, int64_t depth, int64_t k0, int64_t cols,
                         uint32_t * panel, ptrdiff_t stride);

} // namespace steer
