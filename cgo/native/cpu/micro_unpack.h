// Unpackers for weight types that are common or slow in ggml. Part of micro.h.

bool unpack_f32(int type, const void * src, float * dst, int64_t n) {
    switch (type) {
        case GGML_TYPE_F32:
            memcpy(dst, src, n * sizeof(float));
            return true;
        case GGML_TYPE_BF16:
            from_bf16((const uint16_t *) src, dst, n);
            return true;
        default:
            return false;
    }
}

bool unpack_bf16(int type, const void * src, uint16_t * dst, int64_t n) {
    switch (type) {
        case GGML_TYPE_F32:
            to_bf16((const float *) src, dst, n);
            return true;
        case GGML_TYPE_BF16:
            memcpy(dst, src, n * sizeof(uint16_t));
            return true;
        default:
            return false;
    }
}
