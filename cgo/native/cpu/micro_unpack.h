// Unpackers for weight types that are common and slow in ggml (whose own are built without
// vector instructions). Same values to the bit: every product d*q fits a float. Part of micro.h.

inline float half(uint16_t h) {
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    return ggml_fp16_to_fp32(h);
#endif
}

// Scale and minimum of group j, six bits each, of the 12 bytes of a Q4_K or Q5_K block.
inline void scale_min(const uint8_t * s, int j, float * scale, float * min) {
    if (j < 4) {
        *scale = (float) (s[j] & 63);
        *min   = (float) (s[j + 4] & 63);
    } else {
        *scale = (float) ((s[j + 4] & 15) | (s[j - 4] >> 6 << 4));
        *min   = (float) ((s[j + 4] >> 4) | (s[j] >> 6 << 4));
    }
}

#if STEER_VL == 16

// 32 four- or five-bit numbers become weights by one look-up: the 16 or 32 values a group
// can take are computed first, in f32, and rounded. Put decides what is stored.

// Numbers of a group: low halves of 16 bytes, then high halves.
inline __m256i nibbles_split(const uint8_t * qs) {
    const __m128i q = _mm_loadu_si128((const __m128i *) qs);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(q, 4), q), _mm256_set1_epi8(15));
}

// Low (0) or high (1) halves of 32 bytes.
inline __m256i nibbles_half(const uint8_t * qs, int high) {
    const __m256i q = _mm256_loadu_si256((const __m256i *) qs);
    return _mm256_and_si256(high ? _mm256_srli_epi16(q, 4) : q, _mm256_set1_epi8(15));
}

inline __m512 iota() {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

struct PutF32 {
    float * dst;
    // value = table[q] = a q + b
    void four(__m256i q, float a, float b) {
        const __m512 table = _mm512_fmadd_ps(iota(), _mm512_set1_ps(a), _mm512_set1_ps(b));
        _mm512_storeu_ps(dst, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(q)), table));
        _mm512_storeu_ps(dst + 16, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(q, 1)), table));
        dst += 32;
    }
    void five(__m256i q, float a, float b) {
        const __m512 va = _mm512_set1_ps(a), vb = _mm512_set1_ps(b);
        for (int i = 0; i < 2; i++) {
            const __m128i h = i ? _mm256_extracti128_si256(q, 1) : _mm256_castsi256_si128(q);
            _mm512_storeu_ps(dst + 16 * i, _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(h)), va, vb));
        }
        dst += 32;
    }
    // value = a q, the first 16 with a0, the others with a1
    void whole(__m256i q, float a0, float a1) {
        const __m512 lo = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(q)));
        const __m512 hi = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(q, 1)));
        _mm512_storeu_ps(dst, _mm512_mul_ps(lo, _mm512_set1_ps(a0)));
        _mm512_storeu_ps(dst + 16, _mm512_mul_ps(hi, _mm512_set1_ps(a1)));
        dst += 32;
    }
};

#if STEER_BF16
struct PutBF16 {
    uint16_t * dst;
    void look_up(__m256i q, __m512i table) {
        _mm512_storeu_si512(dst, _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(q), table));
        dst += 32;
    }
    void four(__m256i q, float a, float b) {
        const __m512 v = _mm512_fmadd_ps(iota(), _mm512_set1_ps(a), _mm512_set1_ps(b));
        look_up(q, _mm512_castsi256_si512((__m256i) _mm512_cvtneps_pbh(v)));
    }
    void five(__m256i q, float a, float b) {
        const __m512 va = _mm512_set1_ps(a);
        const __m512 lo = _mm512_fmadd_ps(iota(), va, _mm512_set1_ps(b));
        const __m512 hi = _mm512_fmadd_ps(_mm512_add_ps(iota(), _mm512_set1_ps(16)), va, _mm512_set1_ps(b));
        look_up(q, (__m512i) _mm512_cvtne2ps_pbh(hi, lo));
    }
    void whole(__m256i q, float a0, float a1) {
        const __m512 lo = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(q)));
        const __m512 hi = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(q, 1)));
        _mm512_storeu_si512(dst, (__m512i) _mm512_cvtne2ps_pbh(_mm512_mul_ps(hi, _mm512_set1_ps(a1)),
                                                               _mm512_mul_ps(lo, _mm512_set1_ps(a0))));
        dst += 32;
    }
};
#endif

inline __m256i fifth_bit(__m256i q, __mmask32 set) {
    return _mm256_mask_add_epi8(q, set, q, _mm256_set1_epi8(16));
}

template <class Put> bool unpack(int type, const void * src, Put put, int64_t n) {
    switch (type) {
        case GGML_TYPE_Q4_0:
            for (const BlockQ4_0 *b = (const BlockQ4_0 *) src, *end = b + n / 32; b < end; b++) {
                const float d = half(b->d);
                put.four(nibbles_split(b->qs), d, -8 * d);
            }
            return true;
        case GGML_TYPE_Q4_1:
            for (const BlockQ4_1 *b = (const BlockQ4_1 *) src, *end = b + n / 32; b < end; b++) {
                put.four(nibbles_split(b->qs), half(b->d), half(b->m));
            }
            return true;
        case GGML_TYPE_Q5_0:
            for (const BlockQ5_0 *b = (const BlockQ5_0 *) src, *end = b + n / 32; b < end; b++) {
                uint32_t bits;
                memcpy(&bits, b->qh, sizeof bits);
                const float d = half(b->d);
                put.five(fifth_bit(nibbles_split(b->qs), bits), d, -16 * d);
            }
            return true;
        case GGML_TYPE_Q5_1:
            for (const BlockQ5_1 *b = (const BlockQ5_1 *) src, *end = b + n / 32; b < end; b++) {
                uint32_t bits;
                memcpy(&bits, b->qh, sizeof bits);
                put.five(fifth_bit(nibbles_split(b->qs), bits), half(b->d), half(b->m));
            }
            return true;
        case GGML_TYPE_Q8_0:
            for (const BlockQ8_0 *b = (const BlockQ8_0 *) src, *end = b + n / 32; b < end; b++) {
                const float d = half(b->d);
                put.whole(_mm256_loadu_si256((const __m256i *) b->qs), d, d);
            }
            return true;
        case GGML_TYPE_Q4_K:
            for (const BlockQ4_K *b = (const BlockQ4_K *) src, *end = b + n / 256; b < end; b++) {
                const float d = half(b->d), dmin = half(b->dmin);
                for (int j = 0; j < 8; j++) {
                    float s, m;
                    scale_min(b->scales, j, &s, &m);
                    put.four(nibbles_half(b->qs + j / 2 * 32, j % 2), d * s, -dmin * m);
                }
            }
            return true;
        case GGML_TYPE_Q5_K:
            for (const BlockQ5_K *b = (const BlockQ5_K *) src, *end = b + n / 256; b < end; b++) {
                const float   d = half(b->d), dmin = half(b->dmin);
                const __m256i qh = _mm256_loadu_si256((const __m256i *) b->qh);
                for (int j = 0; j < 8; j++) {
                    float s, m;
                    scale_min(b->scales, j, &s, &m);
                    const __mmask32 set = _mm256_test_epi8_mask(qh, _mm256_set1_epi8((char) (1 << j)));
                    put.five(fifth_bit(nibbles_half(b->qs + j / 2 * 32, j % 2), set), d * s, -dmin * m);
                }
            }
            return true;
        case GGML_TYPE_Q6_K:
            for (const BlockQ6_K *b = (const BlockQ6_K *) src, *end = b + n / 256; b < end; b++) {
                const float d = half(b->d);
                for (int j = 0; j < 8; j++) { // 32 weights: ql half j/2%2 of bytes j%2, qh bits 2(j%4)
                    const __m256i low  = nibbles_half(b->ql + j / 4 * 64 + j % 2 * 32, j / 2 % 2);
                    const __m256i all  = _mm256_loadu_si256((const __m256i *) (b->qh + j / 4 * 32));
                    const __m256i two  = _mm256_and_si256(_mm256_srli_epi16(all, j % 4 * 2), _mm256_set1_epi8(3));
                    const __m256i q    = _mm256_or_si256(low, _mm256_slli_epi16(two, 4));
                    put.whole(_mm256_sub_epi8(q, _mm256_set1_epi8(32)), d * b->scales[2 * j], d * b->scales[2 * j + 1]);
                }
            }
            return true;
        default:
            return false;
    }
}

#else

// Plain loops that the compiler turns into this instruction set's vectors.
struct PutF32 {
    float * dst;
#if STEER_VL == 8
    // a q + b of the first eight bytes; GCC's own loop over bytes takes several times as long.
    void eight(__m128i q, float a, float b) {
        _mm256_storeu_ps(
            dst, _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(q)), _mm256_set1_ps(a), _mm256_set1_ps(b)));
        dst += 8;
    }
#endif
    void whole(const int8_t * qs, float d) { // d q of 32
        for (int i = 0; i < 32; i += 8, dst += 8) {
#if STEER_VL == 8
            const __m256i q = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) (qs + i)));
            _mm256_storeu_ps(dst, _mm256_mul_ps(_mm256_cvtepi32_ps(q), _mm256_set1_ps(d)));
#else
            for (int j = 0; j < 8; j++) {
                dst[j] = d * qs[i + j];
            }
#endif
        }
    }
    void split(const uint8_t * qs, float a, float b) { // low halves of 16 bytes, then high halves
#if STEER_VL == 8
        const __m128i q  = _mm_loadu_si128((const __m128i *) qs), low = _mm_set1_epi8(15);
        const __m128i lo = _mm_and_si128(q, low), hi = _mm_and_si128(_mm_srli_epi16(q, 4), low);
        eight(lo, a, b), eight(_mm_srli_si128(lo, 8), a, b), eight(hi, a, b), eight(_mm_srli_si128(hi, 8), a, b);
        return;
#endif
        for (int i = 0; i < 16; i++) {
            dst[i] = (float) (qs[i] & 15) * a + b;
        }
        for (int i = 0; i < 16; i++) {
            dst[16 + i] = (float) (qs[i] >> 4) * a + b;
        }
        dst += 32;
    }
};

inline bool unpack(int type, const void * src, PutF32 put, int64_t n) {
    switch (type) {
        case GGML_TYPE_Q4_0:
            for (const BlockQ4_0 *b = (const BlockQ4_0 *) src, *end = b + n / 32; b < end; b++) {
                const float d = half(b->d);
                put.split(b->qs, d, -8 * d);
            }
            return true;
        case GGML_TYPE_Q4_1:
            for (const BlockQ4_1 *b = (const BlockQ4_1 *) src, *end = b + n / 32; b < end; b++) {
                put.split(b->qs, half(b->d), half(b->m));
            }
            return true;
        case GGML_TYPE_Q8_0:
            for (const BlockQ8_0 *b = (const BlockQ8_0 *) src, *end = b + n / 32; b < end; b++) {
                const float d = half(b->d);
                put.whole(b->qs, d);
            }
            return true;
        case GGML_TYPE_Q4_K:
            for (const BlockQ4_K *b = (const BlockQ4_K *) src, *end = b + n / 256; b < end; b++) {
                const float d = half(b->d), dmin = half(b->dmin);
                for (int j = 0; j < 8; j++) {
                    float s, m;
                    scale_min(b->scales, j, &s, &m);
                    s *= d;
                    m *= -dmin;
                    const uint8_t * q     = b->qs + j / 2 * 32;
                    const int       shift = j % 2 * 4;
                    for (int i = 0; i < 32; i++) {
                        put.dst[i] = (float) (q[i] >> shift & 15) * s + m;
                    }
                    put.dst += 32;
                }
            }
            return true;
        case GGML_TYPE_Q6_K:
            for (const BlockQ6_K *b = (const BlockQ6_K *) src, *end = b + n / 256; b < end; b++) {
                const float d = half(b->d);
                for (int j = 0; j < 8; j++) { // as above, 32 weights a turn
                    const uint8_t * l = b->ql + j / 4 * 64 + j % 2 * 32;
                    const uint8_t * h = b->qh + j / 4 * 32;
                    const int       ls = j / 2 % 2 * 4, hs = j % 4 * 2;
                    for (int i = 0; i < 32; i++) {
                        const int q = (l[i] >> ls & 15) | (h[i] >> hs & 3) << 4;
                        put.dst[i]  = d * b->scales[2 * j + i / 16] * (float) (q - 32);
                    }
                    put.dst += 32;
                }
            }
            return true;
        default:
            return false;
    }
}

#endif

bool unpack_f32(int type, const void * src, float * dst, int64_t n) {
    switch (type) {
        case GGML_TYPE_F32:
            memcpy(dst, src, n * sizeof(float));
            return true;
        case GGML_TYPE_BF16:
            from_bf16((const uint16_t *) src, dst, n);
            return true;
#if defined(__F16C__)
        case GGML_TYPE_F16: {
            const uint16_t * h = (const uint16_t *) src;
            int64_t          i = 0;
            for (; i + 8 <= n; i += 8) {
                _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (h + i))));
            }
            for (; i < n; i++) {
                dst[i] = half(h[i]);
            }
            return true;
        }
#endif
        default:
            return unpack(type, src, PutF32{ dst }, n);
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
#if STEER_BF16
            return unpack(type, src, PutBF16{ dst }, n);
#else
            return false;
#endif
    }
}
