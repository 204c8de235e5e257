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
        const __m512 u =
            _mm512_add_ps(_mm512_unpacklo_ps(a[4 * i], a[4 * i + 1]), _mm512_unpackhi_ps(a[4 * i], a[4 * i + 1]));
        const __m512 w = _mm512_add_ps(_mm512_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]),
                                         _mm512_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
        const __m512d ud = _mm512_castps_pd(u), wd = _mm512_castps_pd(w);
        v[i] =
            _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ud, wd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ud, wd)));
    }
    const __m512 x = _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x88), _mm512_shuffle_f32x4(v[0], v[1], 0xDD));
    const __m512 y = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x88), _mm512_shuffle_f32x4(v[2], v[3], 0xDD));
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xDD));
}

#endif

// Sums of the lanes of each of the 16 or fewer vectors; the order for one does not depend on the others.
template <int N> inline void lane_sums(const vf * v, float * sums) {
#if STEER_VL == 16
    __m512 a[16];
    STEER_UNROLL
    for (int i = 0; i < 16; i++) {
        a[i] = i < N ? (__m512) v[i] : _mm512_setzero_ps();
    }
    _mm512_storeu_ps(sums, sums_of_16(a));
#else
    STEER_UNROLL
    for (int i = 0; i < N; i++) {
        sums[i] = hsum(v[i]);
    }
#endif
}

// y[c][r] = from[c][r] (or 0) + the sum of acc[C r + c]'s lanes.
template <int R, int C>
inline void put_sums(const vf * acc, const float * from, ptrdiff_t ldf, float * y, ptrdiff_t ldy) {
    float sums[16];
    lane_sums<R * C>(acc, sums);
    STEER_UNROLL
    for (int c = 0; c < C; c++) {
        STEER_UNROLL
        for (int r = 0; r < R; r++) {
            y[c * ldy + r] = from ? from[c * ldf + r] + sums[c * R + r] : sums[c * R + r];
        }
    }
}

// a b + c in one rounding where the machine has it: explicitly, so that every tile's code does the same.
inline vf multiply_add(vf a, vf b, vf c) {
#if STEER_VL == 16
    return (vf) _mm512_fmadd_ps((__m512) a, (__m512) b, (__m512) c);
#elif STEER_VL == 8
    return (vf) _mm256_fmadd_ps((__m256) a, (__m256) b, (__m256) c);
#else
    return a * b + c;
#endif
}

// How a tile of R rows against C tokens is summed: one vector for each pair, over all terms.
struct DotsF32 {
    template <int R, int C> static inline void add(const DotTerm & t, int n, int c0, vf * acc) {
        const float *w = (const float *) t.w + n * t.ldw, *x = (const float *) t.x + c0 * t.ldx;
        int64_t      k = 0;
        for (; k + STEER_VL <= t.depth; k += STEER_VL) {
            step<R, C>([&](int r) { return load(w + r * t.ldw + k); }, [&](int c) { return load(x + c * t.ldx + k); },
                       acc);
        }
        if (k < t.depth) {
            const int rest = (int) (t.depth - k);
            step<R, C>([&](int r) { return load_part(w + r * t.ldw + k, rest, 0); },
                       [&](int c) { return load_part(x + c * t.ldx + k, rest, 0); }, acc);
        }
    }
    template <int R, int C, class W, class X> static inline void step(W w, X x, vf * acc) {
        vf b[C];
        STEER_UNROLL
        for (int c = 0; c < C; c++) {
            b[c] = x(c);
        }
        STEER_UNROLL
        for (int r = 0; r < R; r++) {
            const vf a = w(r);
            STEER_UNROLL
            for (int c = 0; c < C; c++) {
                acc[c * R + r] = multiply_add(a, b[c], acc[c * R + r]);
            }
        }
    }
};

#if STEER_BF16
struct DotsBF16 {
    template <int R, int C> static inline void add(const DotTerm & t, int n, int c0, vf * acc) {
        const uint16_t *w = (const uint16_t *) t.w + n * t.ldw, *x = (const uint16_t *) t.x + c0 * t.ldx;
        int64_t         k = 0;
        for (; k + 32 <= t.depth; k += 32) {
            step<R, C>([&](int r) { return _mm512_loadu_si512(w + r * t.ldw + k); },
                       [&](int c) { return _mm512_loadu_si512(x + c * t.ldx + k); }, acc);
        }
        if (k < t.depth) {
            const __mmask32 m = (1u << (t.depth - k)) - 1;
            step<R, C>([&](int r) { return _mm512_maskz_loadu_epi16(m, w + r * t.ldw + k); },
                       [&](int c) { return _mm512_maskz_loadu_epi16(m, x + c * t.ldx + k); }, acc);
        }
    }
    template <int R, int C, class W, class X> static inline void step(W w, X x, vf * acc) {
        __m512bh b[C];
        STEER_UNROLL
        for (int c = 0; c < C; c++) {
            b[c] = (__m512bh) x(c);
        }
        STEER_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512bh a = (__m512bh) w(r);
            STEER_UNROLL
            for (int c = 0; c < C; c++) {
                acc[c * R + r] = (vf) _mm512_dpbf16_ps((__m512) acc[c * R + r], a, b[c]);
            }
        }
    }
};
#endif

template <class Dots, int R, int C>
inline void dot_tile(const DotTerm * terms, int n_terms, int n, int c0, const float * from, ptrdiff_t ldf, float * y,
                     ptrdiff_t ldy) {
    vf acc[R * C] = {};
    for (const DotTerm * t = terms; t < terms + n_terms; t++) {
        Dots::template add<R, C>(*t, n, c0, acc);
    }
    put_sums<R, C>(acc, from ? from + c0 * ldf + n : nullptr, ldf, y + c0 * ldy + n, ldy);
}

template <class Dots, int R>
inline void dot_rows(const DotTerm * terms, int n_terms, int n, int T, const float * from, ptrdiff_t ldf, float * y,
                     ptrdiff_t ldy) {
    for (int t = 0; t < T; t += STEER_DOT_COLS) {
        switch (T - t) {
            case 1: dot_tile<Dots, R, 1>(terms, n_terms, n, t, from, ldf, y, ldy); break;
            case 2: dot_tile<Dots, R, 2>(terms, n_terms, n, t, from, ldf, y, ldy); break;
#if STEER_DOT_COLS == 4
            case 3: dot_tile<Dots, R, 3>(terms, n_terms, n, t, from, ldf, y, ldy); break;
#endif
            default: dot_tile<Dots, R, STEER_DOT_COLS>(terms, n_terms, n, t, from, ldf, y, ldy); break;
        }
    }
}

template <class Dots>
inline void dots(int N, int T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf, float * y,
                 ptrdiff_t ldy) {
    int n = 0;
    for (; n + 4 <= N; n += 4) {
        dot_rows<Dots, 4>(terms, n_terms, n, T, from, ldf, y, ldy);
    }
    for (; n < N; n++) {
        dot_rows<Dots, 1>(terms, n_terms, n, T, from, ldf, y, ldy);
    }
}

void dots_f32(int N, int T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf, float * y,
              ptrdiff_t ldy) {
    dots<DotsF32>(N, T, terms, n_terms, from, ldf, y, ldy);
}

#if STEER_BF16
void dots_bf16(int N, int T, const DotTerm * terms, int n_terms, const float * from, ptrdiff_t ldf, float * y,
               ptrdiff_t ldy) {
    dots<DotsBF16>(N, T, terms, n_terms, from, ldf, y, ldy);
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
            const vf x =
                i == NV - 1 && last < STEER_VL ? load_half_n(row + i * STEER_VL, last) : load_half(row + i * STEER_VL);
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
                       ptrdiff_t v_step, const int32_t * cells, int n, float scale, float most, float * s, float * o,
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
        if (most > 0) {
            cap(s + h * lds, nullptr, n, 1.0f, most);
        }
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
                ptrdiff_t v_step, const int32_t * cells, int n, float scale, float most, float * s, float * o,
                ptrdiff_t ldo) {
    const char *kc = (const char *) k, *vc = (const char *) v;
    for (int h = 0; h < heads; h += 4, q += 4 * ldq, o += 4 * ldo) {
        switch (heads - h) {
            case 1: attn_heads<1>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, most, s, o, ldo); break;
            case 2: attn_heads<2>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, most, s, o, ldo); break;
            case 3: attn_heads<3>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, most, s, o, ldo); break;
            default: attn_heads<4>(D, q, ldq, kc, k_step, vc, v_step, cells, n, scale, most, s, o, ldo); break;
        }
    }
}
