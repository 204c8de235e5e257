// quantize.cpp: rows of f32 to any ggml type and back. Needs no device and keeps no state.
#include "guard.h"
#include "steer.h"

#include "ggml.h"

#include <cmath>
#include <cstring>

namespace {

// The type behind a number, if it can be quantized to without an importance matrix.
ggml_type checked_type(int type) {
    if (type < 0 || type >= GGML_TYPE_COUNT || ggml_blck_size((ggml_type) type) == 0) {
        throw std::invalid_argument("there is no tensor type number " + std::to_string(type));
    }
    const auto t = (ggml_type) type;
    if (t != GGML_TYPE_F32 && (!ggml_get_type_traits(t)->to_float || !ggml_get_type_traits(t)->from_float_ref)) {
        throw std::invalid_argument(std::string(ggml_type_name(t)) + " is not a type for weights");
    }
    return t;
}

void check_row(ggml_type t, int64_t n_rows, int64_t n_per_row) {
    if (n_rows < 1 || n_per_row < 1 || n_per_row % ggml_blck_size(t) != 0) {
        throw std::invalid_argument(std::string(ggml_type_name(t)) + ": " + std::to_string(n_rows) + " rows of " +
                                    std::to_string(n_per_row) + ": want at least one row, a multiple of " +
                                    std::to_string(ggml_blck_size(t)) + " long");
    }
}

} // namespace

int steer_quantize(int type, const float * src, int64_t n_rows, int64_t n_per_row, void * dst, size_t dst_bytes,
                   char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        const ggml_type t = checked_type(type);
        check_row(t, n_rows, n_per_row);
        if (ggml_quantize_requires_imatrix(t)) {
            throw std::invalid_argument(std::string(ggml_type_name(t)) + " needs an importance matrix");
        }
        if (dst_bytes != ggml_row_size(t, n_per_row) * (size_t) n_rows) {
            throw std::logic_error("quantize: room for " + std::to_string(dst_bytes) + " bytes, want " +
                std::to_string(ggml_row_size(t, n_per_row) * (size_t) n_rows));
        }
        for (int64_t i = 0; i < n_rows * n_per_row; i++) {
            if (!std::isfinite(src[i])) { // quantizing one would spoil its whole block
                throw std::invalid_argument("value " + std::to_string(i) + " is not a finite number");
            }
        }
        ggml_quantize_chunk(t, src, dst, 0, n_rows, n_per_row, nullptr);
    });
}

int steer_dequantize(int type, const void * src, size_t src_bytes, float * dst, int64_t n_rows, int64_t n_per_row,
                     char * err, size_t err_len) {
    return steer::guard(err, err_len, [&] {
        const ggml_type t = checked_type(type);
        check_row(t, n_rows, n_per_row);
        if (src_bytes != ggml_row_size(t, n_per_row) * (size_t) n_rows) {
            throw std::invalid_argument(std::string(ggml_type_name(t)) + ": " + std::to_string(n_rows) + " rows of " +
                                        std::to_string(n_per_row) + " take " +
                                        std::to_string(ggml_row_size(t, n_per_row) * (size_t) n_rows) + " bytes, got " +
                                        std::to_string(src_bytes));
        }
        if (t == GGML_TYPE_F32) {
            memcpy(dst, src, src_bytes);
            return;
        }
        ggml_get_type_traits(t)->to_float(src, dst, n_rows * n_per_row);
    });
}

size_t steer_row_bytes(int type, int64_t n_per_row) {
    if (type < 0 || type >= GGML_TYPE_COUNT || n_per_row < 1 || ggml_blck_size((ggml_type) type) == 0 ||
        n_per_row % ggml_blck_size((ggml_type) type) != 0) {
        return 0;
    }
    return ggml_row_size((ggml_type) type, n_per_row);
}
