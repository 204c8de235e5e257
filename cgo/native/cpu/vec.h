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

// The first n (< STEER_VL) floats, the rest filled.
inline vf load_part(const float * p, int n, float fill) {
    vf v = splat(fill);
    memcpy(&v, p, n * sizeof(float));
    return v;
}

inline void store_part(float * p, vf v, int n) {
    memcpy(p, &v, n * sizeof(float));
}

inline float hsum(vf v) {
    float s[STEER_VL];
    memcpy(s, &v, sizeof s);
    for (int h = STEER_VL / 2; h > 0; h /= 2) {
        for (int i = 0; i < h; i++) {
            s[i] += s[i + h];
        }
    }
    return s[0];
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
