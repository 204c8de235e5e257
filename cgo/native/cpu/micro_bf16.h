// Loops over one row whose results are bf16, in one pass over it. Part of micro.h, where there is
// the bf16 dot product.

#if STEER_BF16

// Lanes of a vector of which n are left.
inline __mmask16 lanes_of(int n) {
    return n >= 16 ? (__mmask16) 0xFFFF : n <= 0 ? (__mmask16) 0 : (__mmask16) ((1u << n) - 1);
}

// exp(x) = 2^i 2^r, |r| <= 1/2, to 2^-16 of itself for |x| up to 100, which is far below the rounding that
// follows: the polynomial interpolates 2^r at Chebyshev's nodes. Zero far below; NaN stays NaN.
inline __m512 exp_near(__m512 x) {
    const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    const __m512 i = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(t, i);
    __m512       y = _mm512_set1_ps(1.33908634e-3f);
    y              = _mm512_fmadd_ps(y, r, _mm512_set1_ps(9.67603192e-3f));
    y              = _mm512_fmadd_ps(y, r, _mm512_set1_ps(5.55035711e-2f));
    y              = _mm512_fmadd_ps(y, r, _mm512_set1_ps(2.40221075e-1f));
    y              = _mm512_fmadd_ps(y, r, _mm512_set1_ps(6.93147188e-1f));
    y              = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, i);
}

// The logistic function of x, 1 / (1 + exp(-x)).
inline __m512 logistic_near(__m512 x) {
    const __m512 d = _mm512_add_ps(_mm512_set1_ps(1.0f), exp_near(_mm512_sub_ps(_mm512_setzero_ps(), x)));
    return _mm512_div_ps(_mm512_set1_ps(1.0f), d);
}

inline void store_bf16(uint16_t * y, __m512 low, __m512 high) {
    _mm512_storeu_si512(y, (__m512i) _mm512_cvtne2ps_pbh(high, low));
}

inline void store_bf16(uint16_t * y, __mmask16 m, __m512 x) {
    _mm256_mask_storeu_epi16(y, m, (__m256i) _mm512_cvtneps_pbh(x));
}

inline __m512 load_bf16(const uint16_t * x, __mmask16 m) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, x)), 16));
}

float softmax_bf16(const float * s, int valid, int n, float a, float b, uint16_t * p) {
    const __m512 va = _mm512_set1_ps(a), vb = _mm512_set1_ps(b);
    __m512       low = _mm512_setzero_ps(), high = low;
    for (int i = 0; i < n; i += 32) {
        const __mmask16 ml = lanes_of(valid - i), mh = lanes_of(valid - i - 16);
        const __m512    l  = exp_near(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(ml, s + i), va, vb));
        const __m512    h  = exp_near(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(mh, s + i + 16), va, vb));
        const __m512    el = _mm512_maskz_mov_ps(ml, l), eh = _mm512_maskz_mov_ps(mh, h);
        low                = _mm512_add_ps(low, el);
        high               = _mm512_add_ps(high, eh);
        store_bf16(p + i, el, eh);
    }
    return hsum((vf) _mm512_add_ps(low, high));
}

void softmax_back_bf16(const float * s, const float * dp, int valid, int n, float a, float lse, float delta,
                       uint16_t * p, uint16_t * ds) {
    const __m512 va = _mm512_set1_ps(a), vb = _mm512_set1_ps(lse), vd = _mm512_set1_ps(delta);
    for (int i = 0; i < n; i += 32) {
        const __mmask16 ml = lanes_of(valid - i), mh = lanes_of(valid - i - 16);
        const __m512    l  = exp_near(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(ml, s + i), va, vb));
        const __m512    h  = exp_near(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(mh, s + i + 16), va, vb));
        const __m512    el = _mm512_maskz_mov_ps(ml, l), eh = _mm512_maskz_mov_ps(mh, h);
        store_bf16(p + i, el, eh);
        store_bf16(ds + i, _mm512_mul_ps(el, _mm512_sub_ps(_mm512_maskz_loadu_ps(ml, dp + i), vd)),
                   _mm512_mul_ps(eh, _mm512_sub_ps(_mm512_maskz_loadu_ps(mh, dp + i + 16), vd)));
    }
}

float exp_sums_bf16(const float * x, int n, float a, float max, int but, float * sum, float * sum_x, uint16_t * e) {
    vf s = {}, sx = {}, others = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf        t    = (load_n(x + i, c, -1e30f) - max) * a; // as in exp_sums, to the bit
        const vf        y    = vexp(t);
        const unsigned  lane = (unsigned) (but - (int) i);
        const __mmask16 rest = lane < 16 ? (__mmask16) ~(1u << lane) : (__mmask16) 0xFFFF;
        const __m512    kept = _mm512_maskz_mov_ps(rest, (__m512) y);
        s += y;
        sx += y * t;
        others += (vf) kept;
        store_bf16(e + i, lanes_of(c), kept);
    });
    *sum   = hsum(s);
    *sum_x = hsum(sx);
    return hsum(others);
}

void swiglu_bf16(const uint16_t * gate, const uint16_t * up, uint16_t * y, int n) {
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = lanes_of(n - i);
        const __m512    g = load_bf16(gate + i, m);
        store_bf16(y + i, m, _mm512_mul_ps(_mm512_mul_ps(g, logistic_near(g)), load_bf16(up + i, m)));
    }
}

void swiglu_back_bf16(const uint16_t * gate, const uint16_t * up, const float * dy, uint16_t * d_gate, uint16_t * d_up,
                      int n) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = lanes_of(n - i);
        const __m512    g = load_bf16(gate + i, m), u = load_bf16(up + i, m), d = _mm512_maskz_loadu_ps(m, dy + i);
        const __m512    s     = logistic_near(g);
        const __m512    slope = _mm512_mul_ps(s, _mm512_fmadd_ps(g, _mm512_sub_ps(one, s), one)); // of silu
        store_bf16(d_gate + i, m, _mm512_mul_ps(_mm512_mul_ps(d, u), slope));
        store_bf16(d_up + i, m, _mm512_mul_ps(d, _mm512_mul_ps(g, s)));
    }
}

inline __m512 gelu_argument_near(__m512 g) {
    return (__m512) gelu_argument((vf) g);
}

void geglu_bf16(const uint16_t * gate, const uint16_t * up, uint16_t * y, int n) {
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = lanes_of(n - i);
        const __m512    g = load_bf16(gate + i, m);
        store_bf16(y + i, m,
                   _mm512_mul_ps(_mm512_mul_ps(g, logistic_near(gelu_argument_near(g))), load_bf16(up + i, m)));
    }
}

void geglu_back_bf16(const uint16_t * gate, const uint16_t * up, const float * dy, uint16_t * d_gate, uint16_t * d_up,
                     int n) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = lanes_of(n - i);
        const __m512    g = load_bf16(gate + i, m), u = load_bf16(up + i, m), d = _mm512_maskz_loadu_ps(m, dy + i);
        const __m512    s    = logistic_near(gelu_argument_near(g));
        const __m512    gain = _mm512_mul_ps(g, (__m512) gelu_argument_slope((vf) g));
        const __m512    slope = _mm512_mul_ps(s, _mm512_fmadd_ps(gain, _mm512_sub_ps(one, s), one)); // of gelu
        store_bf16(d_gate + i, m, _mm512_mul_ps(_mm512_mul_ps(d, u), slope));
        store_bf16(d_up + i, m, _mm512_mul_ps(d, _mm512_mul_ps(g, s)));
    }
}

#endif
