// Matrix kernels: up to STEER_MR rows of C against one panel of B, the tile of C held in
// registers over the whole depth. Part of micro.h.

// Loops over the tile must vanish before registers are given out, else C lives on the stack.
#define STEER_UNROLL _Pragma("GCC unroll 16")

// Rows are reached from one base pointer for each three rows (base, base+am, base+2am),
// so that the addresses fit the general registers.
template <int MR, int NV, bool UNIT>
inline void tile_f32(int depth, const char * A, ptrdiff_t am, ptrdiff_t ak, const float * B, ptrdiff_t ldb, float * C,
                     ptrdiff_t ldc, int lanes, bool accumulate) {
    vf c[MR][NV];
    if (!accumulate) {
        STEER_UNROLL
        for (int m = 0; m < MR; m++) {
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                c[m][v] = vf{};
            }
        }
    } else if (lanes == NV * STEER_VL) {
        STEER_UNROLL
        for (int m = 0; m < MR; m++) {
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                c[m][v] = load(C + m * ldc + v * STEER_VL);
            }
        }
    } else {
        STEER_UNROLL
        for (int m = 0; m < MR; m++) {
            vf t[NV] = {};
            memcpy(t, C + m * ldc, lanes * sizeof(float));
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                c[m][v] = t[v];
            }
        }
    }

    constexpr int G = (MR + 2) / 3;
    const char *  a[G];
    STEER_UNROLL
    for (int g = 0; g < G; g++) {
        a[g] = A + 3 * g * am;
    }
    const ptrdiff_t step = UNIT ? (ptrdiff_t) sizeof(float) : ak;
    for (int k = 0; k < depth; k++) {
        vf b[NV];
        STEER_UNROLL
        for (int v = 0; v < NV; v++) {
            b[v] = load(B + v * STEER_VL);
        }
        STEER_UNROLL
        for (int m = 0; m < MR; m++) {
            const float x = *(const float *) (a[m / 3] + (m % 3) * am);
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                c[m][v] += x * b[v];
            }
        }
        STEER_UNROLL
        for (int g = 0; g < G; g++) {
            a[g] += step;
        }
        B += ldb;
    }

    if (lanes == NV * STEER_VL) {
        STEER_UNROLL
        for (int m = 0; m < MR; m++) {
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                store(C + m * ldc + v * STEER_VL, c[m][v]);
            }
        }
    } else {
        STEER_UNROLL
        for (int m = 0; m < MR; m++) {
            vf t[NV];
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                t[v] = c[m][v];
            }
            memcpy(C + m * ldc, t, lanes * sizeof(float));
        }
    }
}

template <int MR, int NV>
void rows_f32(int rows, int depth, const char * A, ptrdiff_t am, ptrdiff_t ak, const float * B, ptrdiff_t ldb,
              float * C, ptrdiff_t ldc, int lanes, bool accumulate) {
    if constexpr (MR > 0) {
        if (rows != MR) {
            rows_f32<MR - 1, NV>(rows, depth, A, am, ak, B, ldb, C, ldc, lanes, accumulate);
        } else if (ak == (ptrdiff_t) sizeof(float)) {
            tile_f32<MR, NV, true>(depth, A, am, ak, B, ldb, C, ldc, lanes, accumulate);
        } else {
            tile_f32<MR, NV, false>(depth, A, am, ak, B, ldb, C, ldc, lanes, accumulate);
        }
    }
}

void gemm_f32(int M, int lanes, int depth, const float * A, ptrdiff_t am, ptrdiff_t ak, const float * B,
              ptrdiff_t ldb, float * C, ptrdiff_t ldc, bool accumulate) {
    am *= sizeof(float);
    ak *= sizeof(float);
    const int blocks = (M + STEER_MR - 1) / STEER_MR;
    for (int i = 0; i < blocks; i++) { // blocks of nearly equal height: no thin rest
        const int m0 = (int) ((int64_t) M * i / blocks);
        const int m1 = (int) ((int64_t) M * (i + 1) / blocks);
        const char * a = (const char *) A + m0 * am;
        float *      c = C + m0 * ldc;
        for (int l = 0; l < lanes; l += 2 * STEER_VL) {
            const int part = lanes - l < 2 * STEER_VL ? lanes - l : 2 * STEER_VL;
            if (part > STEER_VL) {
                rows_f32<STEER_MR, 2>(m1 - m0, depth, a, am, ak, B + l, ldb, c + l, ldc, part, accumulate);
            } else {
                rows_f32<STEER_MR, 1>(m1 - m0, depth, a, am, ak, B + l, ldb, c + l, ldc, part, accumulate);
            }
        }
    }
}

#if STEER_BF16

// One product after the other is added to the tile, which stays in registers.
template <int MR, int NV>
inline void tile_bf16(const ProductBF16 * terms, int n_terms, int m0, float * C, ptrdiff_t ldc, int lanes,
                      bool accumulate) {
    __m512          c[MR][NV];
    const bool      whole = lanes == NV * 16;
    const __mmask16 last  = (__mmask16) (0xFFFF >> (NV * 16 - lanes)); // lanes of the last vector
    STEER_UNROLL
    for (int m = 0; m < MR; m++) {
        STEER_UNROLL
        for (int v = 0; v < NV; v++) {
            if (!accumulate) {
                c[m][v] = _mm512_setzero_ps();
            } else if (whole || v < NV - 1) {
                c[m][v] = _mm512_loadu_ps(C + m * ldc + v * 16);
            } else {
                c[m][v] = _mm512_maskz_loadu_ps(last, C + m * ldc + v * 16);
            }
        }
    }
    for (const ProductBF16 * t = terms; t < terms + n_terms; t++) {
        constexpr int    G  = (MR + 2) / 3;
        const ptrdiff_t  am = t->am * (ptrdiff_t) sizeof(uint16_t), ldb = t->ldb;
        const uint32_t * B  = t->B;
        const char *     a[G];
        STEER_UNROLL
        for (int g = 0; g < G; g++) {
            a[g] = (const char *) t->A + (m0 + 3 * g) * am;
        }
        for (int k = t->pairs; k > 0; k--) {
            __m512bh b[NV];
            STEER_UNROLL
            for (int v = 0; v < NV; v++) {
                b[v] = (__m512bh) _mm512_loadu_si512(B + v * 16);
            }
            STEER_UNROLL
            for (int m = 0; m < MR; m++) {
                int32_t x;
                memcpy(&x, a[m / 3] + (m % 3) * am, sizeof x);
                const __m512bh xx = (__m512bh) _mm512_set1_epi32(x);
                STEER_UNROLL
                for (int v = 0; v < NV; v++) {
                    c[m][v] = _mm512_dpbf16_ps(c[m][v], b[v], xx);
                }
            }
            STEER_UNROLL
            for (int g = 0; g < G; g++) {
                a[g] += sizeof(uint32_t);
            }
            B += ldb;
        }
    }
    STEER_UNROLL
    for (int m = 0; m < MR; m++) {
        STEER_UNROLL
        for (int v = 0; v < NV; v++) {
            if (whole || v < NV - 1) {
                _mm512_storeu_ps(C + m * ldc + v * 16, c[m][v]);
            } else {
                _mm512_mask_storeu_ps(C + m * ldc + v * 16, last, c[m][v]);
            }
        }
    }
}

template <int MR, int NV>
void rows_bf16(int rows, const ProductBF16 * terms, int n_terms, int m0, float * C, ptrdiff_t ldc, int lanes,
               bool accumulate) {
    if constexpr (MR > 0) {
        if (rows != MR) {
            rows_bf16<MR - 1, NV>(rows, terms, n_terms, m0, C, ldc, lanes, accumulate);
        } else {
            tile_bf16<MR, NV>(terms, n_terms, m0, C, ldc, lanes, accumulate);
        }
    }
}

void gemms_bf16(int M, int lanes, const ProductBF16 * terms, int n_terms, float * C, ptrdiff_t ldc, bool accumulate) {
    const int blocks = (M + STEER_MR - 1) / STEER_MR;
    for (int i = 0; i < blocks; i++) {
        const int m0 = (int) ((int64_t) M * i / blocks);
        const int m1 = (int) ((int64_t) M * (i + 1) / blocks);
        if (lanes > 16) {
            rows_bf16<STEER_MR, 2>(m1 - m0, terms, n_terms, m0, C + m0 * ldc, ldc, lanes, accumulate);
        } else {
            rows_bf16<STEER_MR, 1>(m1 - m0, terms, n_terms, m0, C + m0 * ldc, ldc, lanes, accumulate);
        }
    }
}

void gemm_bf16(int M, int lanes, int pairs, const uint16_t * A, ptrdiff_t am, const uint32_t * B, ptrdiff_t ldb,
               float * C, ptrdiff_t ldc, bool accumulate) {
    const ProductBF16 term = { A, am, B, ldb, pairs };
    gemms_bf16(M, lanes, &term, 1, C, ldc, accumulate);
}

#endif
