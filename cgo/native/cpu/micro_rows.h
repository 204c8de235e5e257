// Loops over one row. Part of micro.h.

float row_max(const float * x, int n) {
    vf m = splat(-INFINITY);
    each_vector(n, [&](int64_t i, int c) {
        const vf v = load_n(x + i, c, -INFINITY);
        m          = v > m ? v : m;
    });
    return hmax(m);
}

float dot(const float * a, const float * b, int n) {
    vf  s0 = {}, s1 = {};
    int i = 0;
    for (; i + 2 * STEER_VL <= n; i += 2 * STEER_VL) {
        s0 += load(a + i) * load(b + i);
        s1 += load(a + i + STEER_VL) * load(b + i + STEER_VL);
    }
    each_vector(n - i, [&](int64_t j, int c) { s0 += load_n(a + i + j, c) * load_n(b + i + j, c); });
    return hsum(s0 + s1);
}

void scale(float * x, int n, float a) {
    each_vector(n, [&](int64_t i, int c) { store_n(x + i, load_n(x + i, c) * a, c); });
}

void axpy(float * y, const float * x, int n, float a) {
    each_vector(n, [&](int64_t i, int c) { store_n(y + i, load_n(y + i, c) + load_n(x + i, c) * a, c); });
}

float exp_sum(float * x, int n, float a, float b) {
    vf s = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf e = vexp(load_n(x + i, c, -INFINITY) * a - b);
        store_n(x + i, e, c);
        s += e;
    });
    return hsum(s);
}

float exp_below(float * x, int n, float a, float max) {
    vf s = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf e = vexp((load_n(x + i, c, -1e30f) - max) * a);
        store_n(x + i, e, c);
        s += e;
    });
    return hsum(s);
}

void exp_sums(const float * x, int n, float a, float max, float * sum, float * sum_x) {
    vf s = {}, sx = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf t = (load_n(x + i, c, -1e30f) - max) * a;
        const vf e = vexp(t);
        s += e;
        sx += e * t;
    });
    *sum   = hsum(s);
    *sum_x = hsum(sx);
}

void exp_sums_diff(const float * x, const float * y, int n, float a, float max, float * sum, float * sum_d) {
    vf s = {}, sd = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf l = load_n(x + i, c, -1e30f);
        const vf e = vexp((l - max) * a);
        s += e;
        sd += e * ((l - load_n(y + i, c, -1e30f)) * a);
    });
    *sum   = hsum(s);
    *sum_d = hsum(sd);
}

void softmax_back(const float * p, float * dp, int n, float delta) {
    each_vector(n, [&](int64_t i, int c) { store_n(dp + i, load_n(p + i, c) * (load_n(dp + i, c) - delta), c); });
}

void logprob_back(float * l, int n, float a, float lse, float g_lp, float g_ent, float entropy) {
    each_vector(n, [&](int64_t i, int c) {
        const vf lp = load_n(l + i, c) * a - lse;
        const vf p  = vexp(lp);
        store_n(l + i, -a * (p * (g_lp + g_ent * (lp + entropy))), c);
    });
}

void rms_norm(const float * x, const float * w, float * y, int n, float eps) {
    vf ss = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf v = load_n(x + i, c);
        ss += v * v;
    });
    const float r = 1.0f / sqrtf(hsum(ss) / n + eps);
    each_vector(n, [&](int64_t i, int c) { store_n(y + i, load_n(x + i, c) * r * load_n(w + i, c), c); });
}

void rotate_pairs(const float * x, const float * table, float * y, int n, float sign) {
    vi even, odd, other;
    vf s;
    for (int i = 0; i < STEER_VL; i++) {
        even[i]  = i & ~1;
        odd[i]   = i | 1;
        other[i] = i ^ 1;
        s[i]     = i & 1 ? sign : -sign;
    }
    each_vector(n, [&](int64_t i, int c) {
        const vf v = load_n(x + i, c), t = load_n(table + i, c);
        store_n(y + i, v * shuffle(t, even) + shuffle(v, other) * (shuffle(t, odd) * s), c);
    });
}

void swiglu(const float * gate, const float * up, float * y, int n) {
    each_vector(n, [&](int64_t i, int c) {
        const vf g = load_n(gate + i, c);
        store_n(y + i, g / (1.0f + vexp(-g)) * load_n(up + i, c), c);
    });
}

void rms_back(const float * x, const float * w, const float * dy, float * dx, int n, float eps, bool accumulate) {
    vf ss = {}, sd = {};
    each_vector(n, [&](int64_t i, int c) {
        const vf v = load_n(x + i, c);
        ss += v * v;
        sd += v * (load_n(w + i, c) * load_n(dy + i, c));
    });
    const float r = 1.0f / sqrtf(hsum(ss) / n + eps);
    const float q = hsum(sd) * (r * r * r) / n;
    each_vector(n, [&](int64_t i, int c) {
        vf d = load_n(w + i, c) * load_n(dy + i, c) * r - load_n(x + i, c) * q;
        if (accumulate) {
            d += load_n(dx + i, c);
        }
        store_n(dx + i, d, c);
    });
}

void swiglu_back(const float * gate, const float * up, const float * dy, float * d_gate, float * d_up, int n) {
    each_vector(n, [&](int64_t i, int c) {
        const vf g = load_n(gate + i, c), u = load_n(up + i, c), d = load_n(dy + i, c);
        const vf sig = 1.0f / (1.0f + vexp(-g));
        store_n(d_gate + i, d * u * (sig * (1.0f + g * (1.0f - sig))), c);
        store_n(d_up + i, d * (g * sig), c);
    });
}

// 2z of gelu(g) = g s(2z), s the logistic function, and its slope.
inline vf gelu_argument(vf g) {
    return g * (1.5957691216057308f + 0.07135481282553506f * (g * g));
}

inline vf gelu_argument_slope(vf g) {
    return 1.5957691216057308f + 0.2140644384766052f * (g * g);
}

void geglu(const float * gate, const float * up, float * y, int n) {
    each_vector(n, [&](int64_t i, int c) {
        const vf g = load_n(gate + i, c);
        store_n(y + i, g / (1.0f + vexp(-gelu_argument(g))) * load_n(up + i, c), c);
    });
}

void geglu_back(const float * gate, const float * up, const float * dy, float * d_gate, float * d_up, int n) {
    each_vector(n, [&](int64_t i, int c) {
        const vf g = load_n(gate + i, c), u = load_n(up + i, c), d = load_n(dy + i, c);
        const vf e = vexp(-gelu_argument(g)), sig = 1.0f / (1.0f + e);
        store_n(d_gate + i, d * u * (sig * (1.0f + g * gelu_argument_slope(g) * (e * sig))), c); // 1 - s = e s
        store_n(d_up + i, d * (g * sig), c);
    });
}

void add(const float * a, const float * b, float * y, int n) {
    each_vector(n, [&](int64_t i, int c) { store_n(y + i, load_n(a + i, c) + load_n(b + i, c), c); });
}

void multiply(float * x, const float * by, int n) {
    each_vector(n, [&](int64_t i, int c) { store_n(x + i, load_n(x + i, c) * load_n(by + i, c), c); });
}

void cap(float * x, float * slope, int n, float a, float most) {
    const float twice = 2 * a / most;
    each_vector(n, [&](int64_t i, int c) {
        const vf s = 1.0f / (1.0f + vexp(load_n(x + i, c) * twice)); // tanh(y) = 1 - 2 s, 1 - tanh^2 = 4 s (1 - s)
        store_n(x + i, most - (2 * most) * s, c);
        if (slope) {
            store_n(slope + i, 4.0f * s * (1.0f - s), c);
        }
    });
}

void dropout(const float * x, float * y, int n, uint32_t k0, uint32_t key_a, uint32_t key_b, uint32_t threshold,
             float scale, bool accumulate) {
    vu lane;
    for (int i = 0; i < STEER_VL; i++) {
        lane[i] = i;
    }
    each_vector(n, [&](int64_t i, int c) {
        vu h = (lane + (uint32_t) (k0 + i)) * 0x9E3779B9u + key_a; // steer_dropout_bits
        h ^= h >> 16;
        h *= 0x7FEB352Du;
        h ^= (h >> 15) ^ key_b;
        h *= 0x846CA68Bu;
        h ^= h >> 16;
        vf v = h >= threshold ? load_n(x + i, c) * scale : vf{};
        if (accumulate) {
            v += load_n(y + i, c);
        }
        store_n(y + i, v, c);
    });
}

inline vf vsqrt(vf x) {
#if STEER_VL == 16
    return (vf) _mm512_sqrt_ps((__m512) x);
#elif STEER_VL == 8
    return (vf) _mm256_sqrt_ps((__m256) x);
#else
    for (int i = 0; i < STEER_VL; i++) {
        x[i] = sqrtf(x[i]);
    }
    return x;
#endif
}

void adamw(float * p, const float * g, float * m, float * v, int64_t n, float decay, float step_size, float b1,
           float one_minus_b1, float b2, float one_minus_b2, float eps, float inv_sqrt_c2, float gscale) {
    each_vector(n, [&](int64_t i, int c) {
        const vf gi = load_n(g + i, c) * gscale;
        const vf mi = load_n(m + i, c) * b1 + gi * one_minus_b1;
        const vf vi_ = load_n(v + i, c) * b2 + gi * gi * one_minus_b2;
        const vf denom = vsqrt(vi_) * inv_sqrt_c2 + eps;
        store_n(m + i, mi, c);
        store_n(v + i, vi_, c);
        store_n(p + i, load_n(p + i, c) * decay - mi / denom * step_size, c);
    });
}
