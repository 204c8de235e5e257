// Vectors of STEER_VL floats by the compiler's vector extension, and exp on them.
//
// Included by micro.h only, inside an unnamed namespace: this code is compiled several
// times with different instruction sets, so nothing in it may have linkage, and no
// header with inline functions of its own (the standard library's) may come with it.

typedef float    vf __attribute__((vector_size(4 * STEER_VL)));
typedef int32_t  vi __attribute__((vector_size(4 * STEER_VL)));
typedef uint32_t vu __attribute__((vector_size(4 * STEER_VL)));
typedef float    vf_mem __attribute__((vector_size(4 * STEER_VL), aligned(4), may_alias));
typedef uint32_t vu_mem __attribute__((vector_size(4 * STEER_VL), aligned(4), may_alias));

inline vf splat(float x) {
    return vf{} + x;
}

inline vf load(const float * p) {
    return *(const vf_mem *) p;
}

inline void store(float * p, vf v) {
    *(vf_mem *) p = v;
}

// The first n (< STEER_VL) floats, the rest filled; and back.
inline vf load_part(const float * p, int n, float fill) {
#if STEER_VL == 16
    return (vf) _mm512_mask_loadu_ps((__m512) splat(fill), (__mmask16) ((1u << n) - 1), p);
#else
    vf v = splat(fill);
    for (int i = 0; i < n; i++) {
        v[i] = p[i];
    }
    return v;
#endif
}

inline void store_part(float * p, vf v, int n) {
#if STEER_VL == 16
    _mm512_mask_storeu_ps(p, (__mmask16) ((1u << n) - 1), (__m512) v);
#else
    for (int i = 0; i < n; i++) {
        p[i] = v[i];
    }
#endif
}

// The lanes of v in the order of mask.
template <class V, class M> inline V shuffle(V v, M mask) {
#ifndef __clang__
    return __builtin_shuffle(v, mask);
#else // not for speed: so that clang-tidy can read the kernels
    V out = v;
    for (unsigned i = 0; i < sizeof(V) / sizeof(v[0]); i++) {
        out[i] = v[mask[i]];
    }
    return out;
#endif
}

// Reductions: halves onto halves.
#if STEER_VL == 16
typedef float vh __attribute__((vector_size(32)));

inline vh low_half(vf v) {
    return (vh) _mm512_castps512_ps256((__m512) v);
}

inline vh high_half(vf v) {
    return (vh) _mm512_extractf32x8_ps((__m512) v, 1);
}
#else
typedef vf vh;
#endif

inline vh max_of(vh a, vh b) {
    return a > b ? a : b;
}

template <class Op> inline float reduce(vf v, Op op) {
#if STEER_VL == 16
    vh h = op(low_half(v), high_half(v));
#else
    vh h = v;
#endif
#if STEER_VL >= 8
    h = op(h, shuffle(h, (__attribute__((vector_size(32))) int32_t){ 4, 5, 6, 7, 4, 5, 6, 7 }));
    h = op(h, shuffle(h, (__attribute__((vector_size(32))) int32_t){ 2, 3, 2, 3, 2, 3, 2, 3 }));
    h = op(h, shuffle(h, (__attribute__((vector_size(32))) int32_t){ 1, 1, 1, 1, 1, 1, 1, 1 }));
    return h[0];
#else
    const vh a = op(vh{ h[0], h[1] }, vh{ h[2], h[3] });
    return op(vh{ a[0] }, vh{ a[1] })[0];
#endif
}

inline float hsum(vf v) {
    return reduce(v, [](vh a, vh b) { return a + b; });
}

inline float hmax(vf v) {
    return reduce(v, max_of);
}

// Calls f(i, count) with a vector's worth of elements, count < STEER_VL only at the end.
template <class F> inline void each_vector(int64_t n, F f) {
    int64_t i = 0;
    for (; i + STEER_VL <= n; i += STEER_VL) {
        f(i, STEER_VL);
    }
    if (i < n) {
        f(i, (int) (n - i));
    }
}

inline vf load_n(const float * p, int n, float fill = 0) {
    return n == STEER_VL ? load(p) : load_part(p, n, fill);
}

inline void store_n(float * p, vf v, int n) {
    if (n == STEER_VL) {
        store(p, v);
    } else {
        store_part(p, v, n);
    }
}

// exp(x) to about 1 ulp: x = n ln2 + r, |r| <= ln2/2, polynomial of Cephes expf in r.
// Below -87.3 the result is 0, above 88.37 it stays at exp(88.37); NaN stays NaN.
inline vf vexp(vf x) {
    const vf lo = splat(-87.33654f), hi = splat(88.37f);
    vi       small = x < lo;
    x              = x > hi ? hi : x;
    x              = small ? lo : x;
    const vf magic = splat(12582912.f); // 1.5 * 2^23: adding it rounds to an integer
    vf       t     = x * 1.44269504088896341f + magic;
    vf       n     = t - magic;
    vf       r     = x - n * 0.693359375f;
    r              = r + n * 2.12194440e-4f;
    vf y           = splat(1.9875691500e-4f);
    y              = y * r + 1.3981999507e-3f;
    y              = y * r + 8.3334519073e-3f;
    y              = y * r + 4.1665795894e-2f;
    y              = y * r + 1.6666665459e-1f;
    y              = y * r + 5.0000001201e-1f;
    y              = y * (r * r) + r + 1.0f;
    vi e           = ((vi) t - 0x4B400000 + 127) << 23;
    return small ? vf{} : y * (vf) e;
}
