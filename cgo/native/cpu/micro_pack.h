// Rounding to bf16 and back, transposing, interleaving. Part of micro.h.

inline uint16_t round_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t r = (u + 0x7FFF + ((u >> 16) & 1)) >> 16;
    const uint32_t q = (u >> 16) | 64; // a NaN stays one
    return (uint16_t) ((u & 0x7FFFFFFF) > 0x7F800000 ? q : r);
}

void to_bf16(const float * __restrict x, uint16_t * __restrict y, int64_t n) {
    int64_t i = 0;
#if STEER_BF16
    // The instruction takes numbers below 2^-126 for zero; those are no weights or activations.
    for (; i + 32 <= n; i += 32) {
        _mm512_storeu_si512(y + i, (__m512i) _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i)));
    }
#endif
    for (; i < n; i++) {
        y[i] = round_bf16(x[i]);
    }
}

void from_bf16(const uint16_t * __restrict x, float * __restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint32_t u = (uint32_t) x[i] << 16;
        memcpy(y + i, &u, sizeof u);
    }
}

void interleave(const uint16_t * __restrict a, const uint16_t * __restrict b, uint32_t * __restrict dst, int64_t n) {
    int64_t i = 0;
#if STEER_VL == 16
    for (; i + 32 <= n; i += 32) {
        const __m512i x = _mm512_loadu_si512(a + i), y = _mm512_loadu_si512(b + i);
        const __m512i l = _mm512_unpacklo_epi16(x, y), h = _mm512_unpackhi_epi16(x, y); // of each 128 bits
        const __m512i first  = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        _mm512_storeu_si512(dst + i, _mm512_permutex2var_epi64(l, first, h));
        _mm512_storeu_si512(dst + i + 16, _mm512_permutex2var_epi64(l, second, h));
    }
#endif
    for (; i < n; i++) {
        dst[i] = (uint32_t) a[i] | (uint32_t) b[i] << 16;
    }
}

#if STEER_VL == 16

// 16 rows of 16 items: pairs, then quads within 128 bits, then two rounds of 128-bit lanes.
inline void transpose_16x16(const uint32_t * src, ptrdiff_t lds, uint32_t * dst, ptrdiff_t ldd) {
    __m512i r[16], t[16];
    for (int i = 0; i < 16; i++) {
        r[i] = _mm512_loadu_si512(src + i * lds);
    }
    for (int i = 0; i < 16; i += 2) {
        t[i]     = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i]     = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[4g + c] holds, in 128-bit lane q, column 4q + c of rows 4g .. 4g+3
    for (int c = 0; c < 4; c++) {
        const __m512i ab02 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
        const __m512i ab13 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xDD);
        const __m512i cd02 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        const __m512i cd13 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xDD);
        _mm512_storeu_si512(dst + (0 + c) * ldd, _mm512_shuffle_i32x4(ab02, cd02, 0x88));
        _mm512_storeu_si512(dst + (4 + c) * ldd, _mm512_shuffle_i32x4(ab13, cd13, 0x88));
        _mm512_storeu_si512(dst + (8 + c) * ldd, _mm512_shuffle_i32x4(ab02, cd02, 0xDD));
        _mm512_storeu_si512(dst + (12 + c) * ldd, _mm512_shuffle_i32x4(ab13, cd13, 0xDD));
    }
}

inline void transpose_tile(const uint32_t * src, ptrdiff_t lds, uint32_t * dst, ptrdiff_t ldd) {
    transpose_16x16(src, lds, dst, ldd);
}

#elif STEER_VL == 8

inline void transpose_tile(const uint32_t * src, ptrdiff_t lds, uint32_t * dst, ptrdiff_t ldd) {
    __m256i r[8], t[8];
    for (int i = 0; i < 8; i++) {
        r[i] = _mm256_loadu_si256((const __m256i *) (src + i * lds));
    }
    for (int i = 0; i < 8; i += 2) {
        t[i]     = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i]     = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        _mm256_storeu_si256((__m256i *) (dst + c * ldd), _mm256_permute2x128_si256(r[c], r[4 + c], 0x20));
        _mm256_storeu_si256((__m256i *) (dst + (4 + c) * ldd), _mm256_permute2x128_si256(r[c], r[4 + c], 0x31));
    }
}

#else

inline void transpose_tile(const uint32_t * src, ptrdiff_t lds, uint32_t * dst, ptrdiff_t ldd) {
    for (int c = 0; c < STEER_VL; c++) {
        for (int r = 0; r < STEER_VL; r++) {
            dst[c * ldd + r] = src[r * lds + c];
        }
    }
}

#endif

void transpose32(const uint32_t * src, ptrdiff_t lds, int rows, int cols, uint32_t * dst, ptrdiff_t ldd) {
    constexpr int N = STEER_VL;
    const int     whole_rows = rows / N * N, whole_cols = cols / N * N;
    for (int r = 0; r < whole_rows; r += N) {
        for (int c = 0; c < whole_cols; c += N) {
            transpose_tile(src + r * lds + c, lds, dst + c * ldd + r, ldd);
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int c = r < whole_rows ? whole_cols : 0; c < cols; c++) {
            dst[c * ldd + r] = src[r * lds + c];
        }
    }
}

void copy_padded(const float * src, ptrdiff_t lds, int64_t n, int cols, float * dst, int width) {
    for (int64_t i = 0; i < n; i++, src += lds, dst += width) {
        int j = 0;
        for (; j + STEER_VL <= cols; j += STEER_VL) {
            store(dst + j, load(src + j));
        }
        if (j < cols) {
            const int room = width - j < STEER_VL ? width - j : STEER_VL;
            store_n(dst + j, load_part(src + j, cols - j, 0), room);
            j += room;
        }
        for (; j < width; j += STEER_VL) {
            store_n(dst + j, vf{}, width - j < STEER_VL ? width - j : STEER_VL);
        }
    }
}
