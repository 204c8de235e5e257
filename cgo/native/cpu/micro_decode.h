// Loops of decoding: dot products of a few rows, attention over a half-precision cache,
// rows of normalized and gated activations. Part of micro.h.

// VL half-precision numbers as floats; n < VL of them, the rest 0.
inline vf load_half(const uint16_t * p) {
#if STEER_VL == 16
    return (vf) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
#elif STEER_VL == 8 && defined(__F16C__)
    return (vf) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p));
#else
    vf v;
    for (int i = 0; i < STEER_VL; i++) {
        v[i] = half(p[i]);
    }
    return v;
#endif
}

inline vf load_half_n(const uint16_t * p, int n) {
    if (n == STEER_VL) {
        return load_half(p);
    }
    vf v = {};
    for (int i = 0; i < n; i++) {
        v[i] = half(p[i]);
    }
    return v;
}

#if STEER_VL == 16

// Sums of 16 vectors, in order: halves of 128-bit lanes onto each other, then the lanes.
inline __m512 sums_of_16(const __m512 * a) {
    __m512 v[4];
    STEER_UNROLL
    for (int i = 0; i < 4; i++) {
        const __m512 u = _mm512_add_ps(_mm512_unpacklo_ps(a[4 * i], a[4 * i + 1]), _mm512_unpackhi_ps(a[4 * i], a[4 * i + 1]));
        const __m512 w = _mm512_add_ps(_mm512_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]), _mm512_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
        const __m512d ud = _mm512_castps_pd(u), wd = _mm512_castps_pd(w);
        v[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ud, wd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ud, wd)));
    }
    const __m512 x = _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x88), _mm512_shuffle_f32x4(v[0], v[1], 0xDD));
    const __m512 y = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x88), _mm512_shuffle_f32x4(v[2], v[3], 0xDD));
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xDD));
}

#endif

#if STEER_BF16

// R rows of w against C rows of x, R, C <= 4.
template <int R, int C>
inline void dot_tile(int64_t depth, const uint16_t * w, ptrdiff_t ldw, const uint16_t * x, ptrdiff_t ldx, float * y,
                     ptrdiff_t ldy, bool accumulate) {
    __m512 acc[16];
    STEER_UNROLL
    for (int i = 0; i < 16; i++) {
        acc[i] = _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < depth; k += 32) {
        const __mmask32 m = depth - k >= 32 ? 0xFFFFFFFFu : (1u << (depth - k)) - 1;
        __m512bh        b[C];
        STEER_UNROLL
        for (int c = 0; c < C; c++) {
            b[c] = (__m512bh) _mm512_maskz_loadu_epi16(m, x + c * ldx + k);
        }
        STEER_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512bh a = (__m512bh) _mm512_maskz_loadu_epi16(m, w + r * ldw + k);
            STEER_UNROLL
            for (int c = 0; c < C; c++) {
                acc[4 * c + r] = _mm512_dpbf16_ps(acc[4 * c + r], a, b[c]);
            }
        }
    }
    float sums[16];
    _mm512_storeu_ps(sums, sums_of_16(acc));
    STEER_UNROLL
    for (int c = 0; c < C; c++) {
        STEER_UNROLL
        for (int r = 0; r < R; r++) {
            float * out = y + c * ldy + r;
            *out        = accumulate ? *out + sums[4 * c + r] : sums[4 * c + r];
        }
    }
}

template <int R>
inline void dot_rows(int64_t depth, const uint16_t * w, ptrdiff_t ldw, int T, const uint16_t * x, ptrdiff_t ldx,
                     float * y, ptrdiff_t ldy, bool accumulate) {
    for (int t = 0; t < T; t += 4, x += 4 * ldx, y += 4 * ldy) {
        switch (T - t) {
            case 1: dot_tile<R, 1>(depth, w, ldw, x, ldx, y, ldy, accumulate); break;
            case 2: dot_tile<R, 2>(depth, w, ldw, x, ldx, y, ldy, accumulate); break;
            case 3: dot_tile<R, 3>(depth, w, ldw, x, ldx, y, ldy, accumulate); break;
            default: dot_tile<R, 4>(depth, w, ldw, x, ldx, y, ldy, accumulate); break;
        }
    }
}

void dots_bf16(int N, int64_t depth, const uint16_t * w, ptrdiff_t ldw, int T, const uint16_t * x, ptrdiff_t ldx,
               float * y, ptrdiff_t ldy, bool accumulate) {
    int n = 0;
    for (; n + 4 <= N; n += 4) {
        dot_rows<4>(depth, w + n * ldw, ldw, T, x, ldx, y + n, ldy, accumulate);
    }
    for (; n < N; n++) {
        dot_rows<1>(depth, w + n * ldw, ldw, T, x, ldx, y + n, ldy, accumulate);
    }
}

// Eight-bit activations: blocks of 32 share a scale. Of a row of K (made a multiple of 64):
// K bytes, then for each block eight times its scale, then eight times an eighth of its sum.
void quantize_q8(const float * x, int64_t K, int8_t * q) {
    const int64_t K64 = (K + 63) / 64 * 64;
    float *       d8 = (float *) (q + K64), *s8 = d8 + K64 / 4;
    for (int64_t b = 0; b < K64 / 32; b++) {
        float v[32];
        for (int i = 0; i < 32; i++) {
            v[i] = b * 32 + i < K ? x[b * 32 + i] : 0;
        }
        float top = 0;
        for (int i = 0; i < 32; i++) {
            top = fabsf(v[i]) > top ? fabsf(v[i]) : top;
        }
        const float d = top / 127, inv = top > 0 ? 127 / top : 0;
        int         sum = 0;
        for (int i = 0; i < 32; i++) {
            const int n   = (int) (v[i] * inv + (v[i] < 0 ? -0.5f : 0.5f));
            q[b * 32 + i] = (int8_t) n;
            sum += n;
        }
        for (int i = 0; i < 8; i++) {
            d8[b * 8 + i] = d;
            s8[b * 8 + i] = d * (float) sum / 8;
        }
    }
}

#define STEER_VNNI __attribute__((target("avx512vnni"))) inline

// Two blocks of weights as bytes, their scales and minima spread over the lanes of each.
struct TwoBlocks {
    __m512i q;
    __m512  d, m;
};

inline void spread_scales(const void * a, const void * b, TwoBlocks * t) {
    int32_t sa, sb; // d, and m behind it where there is one
    memcpy(&sa, a, sizeof sa);
    memcpy(&sb, b, sizeof sb);
    const __m512 f = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_insert_epi32(_mm_cvtsi32_si128(sa), sb, 1)));
    t->d = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2), f);
    t->m = _mm512_permutexvar_ps(_mm512_setr_epi32(1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3), f);
}

inline __m512i two_nibble_blocks(const uint8_t * a, const uint8_t * b) {
    const __m256i qa = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) a));
    const __m256i qb = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) b));
    const __m512i q  = _mm512_inserti64x4(_mm512_castsi256_si512(qa), qb, 1);
    return _mm512_and_si512(_mm512_srlv_epi64(q, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4)), _mm512_set1_epi8(15));
}

template <int TYPE> inline TwoBlocks two_blocks(const char * row, int64_t a, int64_t b) {
    TwoBlocks t;
    if constexpr (TYPE == GGML_TYPE_Q4_1) {
        const BlockQ4_1 * w = (const BlockQ4_1 *) row;
        spread_scales(w + a, w + b, &t);
        t.q = two_nibble_blocks(w[a].qs, w[b].qs);
    } else if constexpr (TYPE == GGML_TYPE_Q4_0) {
        const BlockQ4_0 * w = (const BlockQ4_0 *) row;
        spread_scales(w + a, w + b, &t);
        t.q = two_nibble_blocks(w[a].qs, w[b].qs);
        t.m = _mm512_mul_ps(t.d, _mm512_set1_ps(-8));
    } else {
        const BlockQ8_0 * w = (const BlockQ8_0 *) row;
        spread_scales(w + a, w + b, &t);
        const __m256i qa = _mm256_loadu_si256((const __m256i *) w[a].qs), qb = _mm256_loadu_si256((const __m256i *) w[b].qs);
        t.q = _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(qa), qb, 1), _mm512_set1_epi8((char) 0x80)); // q + 128
        t.m = _mm512_mul_ps(t.d, _mm512_set1_ps(-128));
    }
    return t;
}

template <int TYPE, int R, int C>
STEER_VNNI void q8_tile(int64_t K, const char * w, size_t row_bytes, const int8_t * x, ptrdiff_t ldx, float * y, ptrdiff_t ldy) {
    __m512 acc[16];
    STEER_UNROLL
    for (int i = 0; i < 16; i++) {
        acc[i] = _mm512_setzero_ps();
    }
    const int64_t K64 = (K + 63) / 64 * 64, blocks = K / 32;
    for (int64_t b = 0; b < blocks; b += 2) {
        const int64_t second = b + 1 < blocks ? b + 1 : b; // beyond the row the activations are 0
        STEER_UNROLL
        for (int r = 0; r < R; r++) {
            const TwoBlocks t = two_blocks<TYPE>(w + r * row_bytes, b, second);
            __builtin_prefetch(w + (r + 2 * R) * row_bytes + b * (row_bytes / blocks)); // two tiles ahead
            STEER_UNROLL
            for (int c = 0; c < C; c++) {
                const int8_t * xc = x + c * ldx;
                const float *  d8 = (const float *) (xc + K64) + b * 8;
                const __m512i  dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), t.q, _mm512_loadu_si512(xc + b * 32));
                acc[4 * c + r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(t.d, _mm512_loadu_ps(d8)), acc[4 * c + r]);
                acc[4 * c + r] = _mm512_fmadd_ps(t.m, _mm512_loadu_ps(d8 + K64 / 4), acc[4 * c + r]);
            }
        }
    }
    float sums[16];
    _mm512_storeu_ps(sums, sums_of_16(acc));
    for (int c = 0; c < C; c++) {
        for (int r = 0; r < R; r++) {
            y[c * ldy + r] = sums[4 * c + r];
        }
    }
}

template <int TYPE, int R>
STEER_VNNI void q8_rows(int64_t K, const char * w, size_t row_bytes, int T, const int8_t * x, ptrdiff_t ldx, float * y, ptrdiff_t ldy) {
    for (int t = 0; t < T; t += 4, x += 4 * ldx, y += 4 * ldy) {
        switch (T - t) {
            case 1: q8_tile<TYPE, R, 1>(K, w, row_bytes, x, ldx, y, ldy); break;
            case 2: q8_tile<TYPE, R, 2>(K, w, row_bytes, x, ldx, y, ldy); break;
            case 3: q8_tile<TYPE, R, 3>(K, w, row_bytes, x, ldx, y, ldy); break;
            default: q8_tile<TYPE, R, 4>(K, w, row_bytes, x, ldx, y, ldy); break;
        }
    }
}

template <int TYPE>
STEER_VNNI void q8_all(int N, int64_t K, const char * w, size_t row_bytes, int T, const int8_t * x, ptrdiff_t ldx, float * y,
                       ptrdiff_t ldy) {
    int n = 0;
    for (; n + 4 <= N; n += 4) {
        q8_rows<TYPE, 4>(K, w + n * row_bytes, row_bytes, T, x, ldx, y + n, ldy);
    }
    for (; n < N; n++) {
        q8_rows<TYPE, 1>(K, w + n * row_bytes, row_bytes, T, x, ldx, y + n, ldy);
    }
}

__attribute__((target("avx512vnni"))) bool dots_q8(int type, int N, int64_t K, const void * w, size_t row_bytes, int T,
                                                   const int8_t * x, ptrdiff_t ldx, float * y, ptrdiff_t ldy) {
    if (!__builtin_cpu_supports("avx512vnni")) {
        return false;
    }
    const char * rows = (const char *) w;
    switch (type) {
        case GGML_TYPE_Q4_0: N ? q8_all<GGML_TYPE_Q4_0>(N, K, rows, row_bytes, T, x, ldx, y, ldy) : void(); return true;
        case GGML_TYPE_Q4_1: N ? q8_all<GGML_TYPE_Q4_1>(N, K, rows, row_bytes, T, x, ldx, y, ldy) : void(); return true;
        case GGML_TYPE_Q8_0: N ? q8_all<GGML_TYPE_Q8_0>(N, K, rows, row_bytes, T, x, ldx, y, ldy) : void(); return true;
        default: return false;
    }
}

#endif

// x *= a; not called `scale`, which attention's factor is.
inline void multiply(float * x, int n, float a) {
    each_vector(n, [&](int64_t i, int c) { store_n(x + i, load_n(x + i, c) * a, c); });
}

// Scores of NQ queries against four keys: s[q*lds + j] = scale q . k_j.
template <int NQ>
inline void scores_of_4(int D, const float * q, ptrdiff_t ldq, const uint16_t * const * k, float scale, float * s,
                        ptrdiff_t lds) {
    vf acc[NQ][4] = {};
    each_vector(D, [&](int64_t i, int c) {
        vf kv[4];
        STEER_UNROLL
        for (int j = 0; j < 4; j++) {
            kv[j] = load_half_n(k[j] + i, c);
        }
        STEER_UNROLL
        for (int h = 0; h < NQ; h++) {
            const vf qv = load_n(q + h * ldq + i, c);
            STEER_UNROLL
            for (int j = 0; j < 4; j++) {
                acc[h][j] += qv * kv[j];
            }
        }
    });
#if STEER_VL == 16
    __m512 a[16] = {};
    STEER_UNROLL
    for (int h = 0; h < NQ; h++) {
        STEER_UNROLL
        for (int j = 0; j < 4; j++) {
            a[4 * h + j] = (__m512) acc[h][j];
        }
    }
    float sums[16];
    _mm512_storeu_ps(sums, sums_of_16(a));
    STEER_UNROLL
    for (int h = 0; h < NQ; h++) {
        STEER_UNROLL
        for (int j = 0; j < 4; j++) {
            s[h * lds + j] = sums[4 * h + j] * scale;
        }
    }
#else
    for (int h = 0; h < NQ; h++) {
        for (int j = 0; j < 4; j++) {
            s[h * lds + j] = hsum(acc[h][j]) * scale;
        }
    }
#endif
}

// o[q][d] = sum_j p[q*ldp + j] v_j[d] for NV vectors of d, the last of `last` lanes.
template <int NQ, int NV>
inline void values_of(const float * p, ptrdiff_t ldp, const char * v, ptrdiff_t v_step, const int32_t * cells, int n,
                      float * o, ptrdiff_t ldo, int last) {
    vf acc[NQ][NV] = {};
    for (int j = 0; j < n; j++) {
        const uint16_t * row = (const uint16_t *) (v + cells[j] * v_step);
        STEER_UNROLL
        for (int i = 0; i < NV; i++) {
            const vf x = i == NV - 1 && last < STEER_VL ? load_half_n(row + i * STEER_VL, last) : load_half(row + i * STEER_VL);
            STEER_UNROLL
            for (int h = 0; h < NQ; h++) {
                acc[h][i] += p[h * ldp + j] * x;
            }
        }
    }
    for (int h = 0; h < NQ; h++) {
        for (int i = 0; i < NV; i++) {
            store_n(o + h * ldo + i * STEER_VL, acc[h][i], i == NV - 1 ? last : STEER_VL);
        }
    }
}

template <int NQ>
inline void attn_heads(int D, const float * q, ptrdiff_t ldq, const char * k, ptrdiff_t k_step, const char * v,
                       ptrdiff_t v_step, const int32_t * cells, int n, float scale, float * s, float * o,
                       ptrdiff_t ldo) {
    const ptrdiff_t lds = (n + 3) / 4 * 4;
    for (int j = 0; j < n; j += 4) {
        const uint16_t * row[4];
        for (int i = 0; i < 4; i++) {
            row[i] = (const uint16_t *) (k + cells[j + i < n ? j + i : n - 1] * k_step);
            const ptrdiff_t ahead = cells[j + i + 12 < n ? j + i + 12 : n - 1];
            for (int d = 0; d < D; d += 32) { // whole cache lines
                __builtin_prefetch(k + ahead * k_step + 2 * d);
                __builtin_prefetch(v + ahead * v_step + 2 * d);
            }
        }
        scores_of_4<NQ>(D, q, ldq, row, scale, s + j, lds);
    }
    for (int h = 0; h < NQ; h++) {
        const float sum = exp_sum(s + h * lds, n, 1.0f, row_max(s + h * lds, n));
        multiply(s + h * lds, n, 1.0f / sum);
    }
    for (int d = 0; d < D; d += 4 * STEER_VL) {
        const int rest = D - d, vectors = (rest + STEER_VL - 1) / STEER_VL;
        const int last = rest - (vectors - 1) * STEER_VL;
        const char * vd = v + d * sizeof(uint16_t);
        switch (vectors) {
            case 1: values_of<NQ, 1>(s, lds, vd, v_step, cells, n, o + d, ldo, last); break;
            case 2: values_of<NQ, 2>(s, lds, vd, v_step, cells, n, o + d, ldo, last); break;
            case 3: values_of<NQ, 3>(s, lds, vd, v_step, cells, n, o + d, ldo, last); break;
            default: values_of<NQ, 4>(s, lds, vd, v_step, cells, n, o + d, ldo, vectors == 4 ? last : STEER_VL); break;
        }
    }
}

void attn_cells(int heads, int D, const float * q, ptrdiff_t ldq, const void * k, ptrdiff_t k_step, const void * v,
                ptrdiff_t v_step, const int32_t * cells, int n, float scale, float * s, float * o, ptrdiff_t ldo) {
    const char *kc = (const char *) k, *vc = (const char *) v;
    for (int h = 0; h < heads; h += 4, q += 4 * ldq, o += 4 * ldo) {
        switch (heads - h) {
            case 1: attn_heads<1>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, s, o, ldo); break;
            case 2: attn_heads<2>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, s, o, ldo); break;
            case 3: attn_heads<3>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, s, o, ldo); break;
            default: attn_heads<4>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, s, o, ldo); break;
        }
    }
}
