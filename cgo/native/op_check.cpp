// op_check.cpp: one case an op, in the order and with the letters of the table in ops.h.
#include "op_check.h"

namespace steer {
namespace {

struct operands {
    ggml_tensor * const * src;
    int n;
    const ggml_tensor * operator[](int i) const { return src[i]; }
};

bool f32(const ggml_tensor * t) { return t->type == GGML_TYPE_F32 && t->nb[0] == sizeof(float); }
bool f32(const ggml_tensor * t, int64_t ne0, int64_t ne1) {
    return f32(t) && t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == 1;
}
bool i32(const ggml_tensor * t) { return t->type == GGML_TYPE_I32 && t->ne[1] == 1; }
bool activation(const ggml_tensor * t, int64_t ne0) {
    return (f32(t) || t->type == GGML_TYPE_BF16) && t->ne[0] == ne0 && t->ne[2] == 1;
}
bool activation(const ggml_tensor * t, int64_t ne0, int64_t ne1) { return activation(t, ne0) && t->ne[1] == ne1; }
bool weight(const ggml_tensor * w) { return steer_weight_type_ok(w->type) && ggml_is_contiguous(w) && w->ne[2] == 1; }
bool seeds(const operands & s, int at, int64_t n_tokens, float p) {
    if (p < 0.0f || p >= 1.0f) {
        return false;
    }
    if (s.n == at) {
        return p == 0.0f;
    }
    return s.n == at + 1 && s[at]->type == GGML_TYPE_I32 && s[at]->ne[0] == 2 && s[at]->ne[1] == n_tokens;
}

// whether w is the weight of a norm over rows of n features, or over each `group` of them
bool norm_weight(const ggml_tensor * w, int64_t n, int32_t group) {
    return f32(w) && group >= 0 && (group ? n % group == 0 && w->ne[0] == group : w->ne[0] == n);
}

// whether the sources from `at` on are at most `most` pairs of an f32 matrix and what fits it
template <class F> bool pairs(const operands & s, int at, int most, F fit) {
    if ((s.n - at) % 2 != 0 || (s.n - at) / 2 > most) {
        return false;
    }
    for (int i = at; i < s.n; i += 2) {
        if (!f32(s[i]) || !fit(s[i], s[i + 1])) {
            return false;
        }
    }
    return true;
}

bool fits(int op, const operands & s, int64_t ne0, int64_t ne1, bool inplace, const steer_op_args & a) {
    const int n = s.n;
    switch (op) {
        case STEER_OP_PACK:
            return n == 1 && !inplace && f32(s[0], ne0, ne1);
        case STEER_OP_NORM: // x [n,T], w [n]
            return n == 2 && !inplace && f32(s[0], ne0, ne1) && norm_weight(s[1], ne0, a.i[1]);
        case STEER_OP_ROPE_TABLE: // pos [T], (freqs [R/2]) -> [R,T]
            return (n == 1 || (n == 2 && f32(s[1]) && s[1]->ne[0] >= ne0 / 2)) && !inplace && ne0 % 2 == 0 &&
                   i32(s[0]) && s[0]->ne[0] == ne1 && a.f[0] > 0 && (a.f[3] == 0 || a.i[3] > 0);
        case STEER_OP_ROPE: // x [D*H,T], table [R,T]
            return n == 2 && f32(s[0], ne0, ne1) && a.i[0] > 0 && a.i[0] % 2 == 0 && ne0 % a.i[0] == 0 &&
                   f32(s[1], s[1]->ne[0], ne1) && s[1]->ne[0] % 2 == 0 && s[1]->ne[0] <= a.i[0] &&
                   (a.i[1] == 0 || a.i[1] == 2);
        case STEER_OP_LINEAR: // W [K,N], x [K,T], pairs (B [r,N], h [r,T]) -> [N,T]
            return n >= 2 && !inplace && weight(s[0]) && activation(s[1], s[0]->ne[0]) && ne0 == s[0]->ne[1] &&
                   ne1 == s[1]->ne[1] && pairs(s, 2, 4, [&](const ggml_tensor * B, const ggml_tensor * h) {
                       return B->ne[1] == ne0 && activation(h, B->ne[0]) && h->ne[1] == ne1;
                   });
        case STEER_OP_LINEAR_BACK: { // (dx,) W [K,N], dy [N,T], pairs (A [K,r], dh [r,T]) -> [K,T]
            const int b = a.i[0] ? 1 : 0;
            if (n < 2 + b || inplace != (b == 1) || (b && !f32(s[0], ne0, s[2]->ne[1]))) {
                return false;
            }
            const int64_t T = s[1 + b]->ne[1];
            return weight(s[b]) && activation(s[1 + b], s[b]->ne[1]) && ne0 == s[b]->ne[0] && ne1 == T &&
                   pairs(s, 2 + b, 3, [&](const ggml_tensor * A, const ggml_tensor * dh) {
                       return A->ne[0] == ne0 && activation(dh, A->ne[1]) && dh->ne[1] == T;
                   });
        }
        case STEER_OP_LORA_DOWN: // A [K,r], x [K,T] -> [r,T]
            return n >= 2 && !inplace && f32(s[0]) && activation(s[1], s[0]->ne[0]) && s[1]->ne[1] == ne1 &&
                   ne0 == s[0]->ne[1] && seeds(s, 2, ne1, a.f[1]);
        case STEER_OP_LORA_UP_BACK: // B [r,N], dy [N,T] -> [r,T]
            return n == 2 && !inplace && f32(s[0]) && activation(s[1], s[0]->ne[1]) && s[1]->ne[1] == ne1 &&
                   ne0 == s[0]->ne[0];
        case STEER_OP_OUTER_ACC: // G [M,J], u [M,T], v [J,T]
            return n >= 3 && inplace && f32(s[0]) && activation(s[1], s[0]->ne[0]) && activation(s[2], s[0]->ne[1]) &&
                   s[1]->ne[1] == s[2]->ne[1] && seeds(s, 3, s[1]->ne[1], a.f[1]);
        case STEER_OP_LORA_DOWN_BACK: // dx [K,T], A [K,r], dh [r,T]
            return n >= 3 && inplace && f32(s[0]) && f32(s[1]) && s[1]->ne[0] == s[0]->ne[0] &&
                   activation(s[2], s[1]->ne[1]) && s[2]->ne[1] == s[0]->ne[1] && seeds(s, 3, s[0]->ne[1], a.f[1]);
        case STEER_OP_ATTN:
        case STEER_OP_ATTN_BACK: {
            const int b = op == STEER_OP_ATTN_BACK ? 1 : 0; // dO comes first
            const int64_t d = a.i[0], h = a.i[1], hk = a.i[2];
            const bool parents = n == 5 && !b && i32(s[3]) && i32(s[4]) && s[4]->ne[0] == s[3]->ne[0] - 1;
            if ((n != 4 + 2 * b && !parents) || inplace || d < 1 || hk < 1 || h < 1 || h % hk != 0 || !(a.f[1] >= 0) ||
                a.i[4] < 0) {
                return false;
            }
            bool ok = activation(s[b], d * h, ne1) && activation(s[b + 1], d * hk, ne1) &&
                      activation(s[b + 2], d * hk, ne1) && i32(s[3 + 2 * b]);
            if (b) {
                return ok && f32(s[0], d * h, ne1) && f32(s[4], d * h + h, ne1) && ne0 == d * h + 2 * d * hk;
            }
            return ok && ne0 == d * h + h;
        }
        case STEER_OP_RMS_BACK: { // (dx,) x, w, dy
            const int b = a.i[0] ? 1 : 0;
            return n == 3 + b && inplace == (b == 1) && f32(s[b], ne0, ne1) && norm_weight(s[b + 1], ne0, a.i[1]) &&
                   f32(s[b + 2], ne0, ne1);
        }
        case STEER_OP_SWIGLU:
        case STEER_OP_GEGLU:
            return n == 2 && !inplace && activation(s[0], ne0, ne1) && activation(s[1], ne0, ne1);
        case STEER_OP_SWIGLU_BACK:
        case STEER_OP_GEGLU_BACK:
            return n == 3 && !inplace && ne0 % 2 == 0 && activation(s[0], ne0 / 2, ne1) &&
                   activation(s[1], ne0 / 2, ne1) && f32(s[2], ne0 / 2, ne1);
        case STEER_OP_HEAD_LOGPROB: // W [n,V], h [n,T], rows, targets -> [4,R], [4+n,R]
        case STEER_OP_HEAD_DIRECTION:
            return n == 4 && !inplace && weight(s[0]) && f32(s[1]) && s[1]->ne[0] == s[0]->ne[0] && i32(s[2]) &&
                   i32(s[3]) && ne0 == (op == STEER_OP_HEAD_DIRECTION ? 4 + s[0]->ne[0] : 4) && ne1 == s[2]->ne[0] &&
                   ne1 == s[3]->ne[0] && a.f[0] > 0 && a.f[1] >= 0;
        case STEER_OP_HEAD_DIRECTION_BACK: // dh [n,T], out [4+n,R], rows, g [2,R]
            return n == 4 && inplace && f32(s[0]) && f32(s[1], 4 + s[0]->ne[0], s[2]->ne[0]) && i32(s[2]) &&
                   f32(s[3], 2, s[2]->ne[0]);
        case STEER_OP_HEAD_LOGPROB_BACK: // dh, W, h, rows, targets, out [4,R], g [2,R]
            return n == 7 && inplace && weight(s[1]) && f32(s[2]) && f32(s[0], s[2]->ne[0], s[2]->ne[1]) &&
                   s[2]->ne[0] == s[1]->ne[0] && i32(s[3]) && i32(s[4]) && f32(s[5], 4, s[3]->ne[0]) &&
                   f32(s[6], 2, s[3]->ne[0]) && s[4]->ne[0] == s[3]->ne[0];
        case STEER_OP_HEAD_KL:
            return n == 4 && !inplace && weight(s[0]) && f32(s[1]) && f32(s[2]) && s[1]->ne[0] == s[0]->ne[0] &&
                   ggml_are_same_shape(s[1], s[2]) && i32(s[3]) && ne0 == s[3]->ne[0];
        case STEER_OP_SCALAR_HEAD: // w [n], b [1], h [n,T], rows [P]
            return n == 4 && !inplace && f32(s[0]) && f32(s[1]) && f32(s[2]) && s[0]->ne[0] == s[2]->ne[0] &&
                   i32(s[3]) && ne0 == s[3]->ne[0];
        case STEER_OP_SCALAR_HEAD_BACK: // w, h, rows, g -> [n,T]; with i0 = 0 zeros of h's shape
            if (!a.i[0]) {
                return n == 4 && !inplace && f32(s[1], ne0, ne1);
            }
            return n == 4 && !inplace && f32(s[0]) && f32(s[1], ne0, ne1) && s[0]->ne[0] == ne0 && i32(s[2]) &&
                   f32(s[3]) && s[3]->ne[0] == s[2]->ne[0];
        case STEER_OP_SCALAR_HEAD_GRAD: // gw, h, rows, g
            return n == 4 && inplace && f32(s[0]) && f32(s[1]) && s[0]->ne[0] == s[1]->ne[0] && i32(s[2]) &&
                   f32(s[3]) && s[3]->ne[0] == s[2]->ne[0];
        case STEER_OP_SCALAR_HEAD_GRAD_BIAS: // gb, g
            return n == 2 && inplace && f32(s[0]) && s[0]->ne[0] == 1 && f32(s[1]);
        case STEER_OP_BIAS: // x [N,T], b [N]
            return n == 2 && !inplace && f32(s[0], ne0, ne1) && f32(s[1]) && s[1]->ne[0] == ne0;
        case STEER_OP_SCALE:
            return n == 1 && !inplace && f32(s[0], ne0, ne1);
        default:
            return false;
    }
}

} // namespace

const char * check_op(int op, ggml_tensor * const * src, int n_src, int64_t ne0, int64_t ne1, bool inplace,
                      const steer_op_args * args) {
    if (!steer_op_get((steer_op_id) op)) {
        return "there is no such op";
    }
    return fits(op, operands{ src, n_src }, ne0, ne1, inplace, *args) ? nullptr : "operands do not fit";
}

} // namespace steer
