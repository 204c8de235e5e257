// The training operations that ggml does not have, as ggml custom ops.
//
// Every operation is a ggml_custom_op_t. Inputs are dst->src[i]; further parameters
// lie behind ggml's own ggml_custom_op_params in dst->op_params (steer_op_params).
// An operation "in place" is built with ggml_custom_inplace: dst is a view of src[0].
//
// Tensors are f32 and at most two-dimensional unless said otherwise, written [ne0, ne1]
// with ne0 contiguous; rows may be further apart than ne0 elements.
//
// Every output element is computed by one thread, in an order that depends neither on
// the number of threads nor on which one it is: results are bit-equal for any nth.
#pragma once

#include "ggml.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define STEER_ON_DEVICE __host__ __device__ // what kernels use, too
#else
#define STEER_ON_DEVICE
#endif

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------
// Parameters

#define STEER_OP_PARAMS_OFFSET 24 // bytes of ggml_custom_op_params: fun, n_tasks, userdata

struct steer_op_params {
    float   f[4];
    int32_t i[6];
};

static inline struct steer_op_params * steer_op_params_of(struct ggml_tensor * t) {
    return (struct steer_op_params *) ((char *) t->op_params + STEER_OP_PARAMS_OFFSET);
}

// ---------------------------------------------------------------------------------
// Operations
//
//  P stands for f32 (the exact path) or bf16 (the fast path).
//
//  op                     dst                  sources                          parameters
//  PACK                   bf16 [K,T]           x f32 [K,T]                      -
//  NORM                   y P [n,T]            x [n,T], w [n] or [g]            f0=eps i1=g: of each g, 0: of n
//  ROPE_TABLE             [R,T]                pos I32 [T], (freqs [>= R/2])    f0=base f1=freq_scale f2=attn_factor
//                                                                               i0=YaRN i1=low i2=high f3=growth
//                                                                               i3=floor
//  ROPE                   y P [D*H,T]          x [D*H,T], table [R,T], R <= D   i0=D i1=mode i2=back
//    in place             x                    x, table                         as ROPE
//  LINEAR                 y P [N,T]            W [K,N] any type, x P [K,T],     -
//                                              up to 4 pairs (B [r,N], h P [r,T])
//  LINEAR_BACK            dx [K,T]             W, dy P [N,T],                   i0=0
//                                              up to 3 pairs (A [K,r], dh P [r,T])
//    accumulating         in place dx          dx, W, dy, pairs                 i0=1
//  LORA_DOWN              h P [r,T]            A [K,r], x P [K,T], (seeds)      f0=scale f1=p i0=site
//  LORA_UP_BACK           dh P [r,T]           B [r,N], dy P [N,T]              f0=scale
//  OUTER_ACC              in place G [M,J]     G, u P [M,T], v P [J,T], (seeds) f1=p i0=site
//  LORA_DOWN_BACK         in place dx [K,T]    dx, A [K,r], dh P [r,T], (seeds) f1=p i0=site
//  ATTN                   [D*H + H, T]         q P [D*H,T], k P [D*HK,T], v P,  f0=scale i0=D i1=H i2=HK i3=bf16
//                                              cu, (parents)                    f1=cap i4=window, 0: none
//  ATTN_BACK              [D*H + 2*D*HK, T]    dO [D*H,T], q, k, v, out, cu     as ATTN
//  RMS_BACK               dx [n,T]             x, w [n] or [g], dy              f0=eps i0=0 i1=g as NORM
//    accumulating         in place dx          dx, x, w, dy                     f0=eps i0=1 i1=g
//  SWIGLU                 y P [F,T]            gate P [F,T], up P [F,T]         -
//  SWIGLU_BACK            P [2F,T]             gate P [F,T], up P, dy [F,T]     -
//  HEAD_LOGPROB           [4,R]                W [n,V], h [n,T], rows, targets  f0=1/temperature
//                                                                               f1=cap, 0: none i0=entropy i1=bf16
//  HEAD_DIRECTION         [4+n, R]             as HEAD_LOGPROB                  as HEAD_LOGPROB
//  HEAD_DIRECTION_BACK    in place dh [n,T]    dh, out [4+n,R], rows, g [2,R]   -
//  HEAD_LOGPROB_BACK      in place dh [n,T]    dh, W, h, rows, targets, out, g [2,R]  as HEAD_LOGPROB
//  HEAD_KL                [R]                  W, h1 [n,T], h2 [n,T], rows      as HEAD_LOGPROB
//  SCALAR_HEAD            [P]                  w [n], b [1], h [n,T], rows      -
//  SCALAR_HEAD_BACK       dh [n,T]             w, h, rows, g [P]                i0=0: zeros only
//  SCALAR_HEAD_GRAD       in place gw [n]      gw, h, rows, g                   -
//  SCALAR_HEAD_GRAD_BIAS  in place gb [1]      gb, g                            -
//  BIAS                   y P [N,T]            x [N,T], b [N]                   -
//  SCALE                  y P [n,T]            x [n,T]                          f0=factor
//  GEGLU                  y P [F,T]            gate P [F,T], up P [F,T]         -
//  GEGLU_BACK             P [2F,T]             gate P [F,T], up P, dy [F,T]     -
//
// seeds: I32 [2,T], the low and high half of each token's dropout seed; may be absent
// when p is 0. cu: I32 [S+1], first token of each sequence and the count of used
// tokens; outputs of tokens at or behind cu[S] are zero. rows, targets: I32.
// parents: I32 [S]; with them cu bounds segments of sequences that share beginnings: a
// segment goes on where parents[s] < s ends, -1: a sequence begins. Forward passes only.
// Formulas stand on top of each operation's source file.

enum steer_op_id {
    STEER_OP_PACK,
    STEER_OP_NORM,
    STEER_OP_ROPE_TABLE,
    STEER_OP_ROPE,
    STEER_OP_LINEAR,
    STEER_OP_LINEAR_BACK,
    STEER_OP_LORA_DOWN,
    STEER_OP_LORA_UP_BACK,
    STEER_OP_OUTER_ACC,
    STEER_OP_LORA_DOWN_BACK,
    STEER_OP_ATTN,
    STEER_OP_ATTN_BACK,
    STEER_OP_RMS_BACK,
    STEER_OP_SWIGLU,
    STEER_OP_SWIGLU_BACK,
    STEER_OP_HEAD_LOGPROB,
    STEER_OP_HEAD_DIRECTION,
    STEER_OP_HEAD_DIRECTION_BACK,
    STEER_OP_HEAD_LOGPROB_BACK,
    STEER_OP_HEAD_KL,
    STEER_OP_SCALAR_HEAD,
    STEER_OP_SCALAR_HEAD_BACK,
    STEER_OP_SCALAR_HEAD_GRAD,
    STEER_OP_SCALAR_HEAD_GRAD_BIAS,
    STEER_OP_BIAS,
    STEER_OP_SCALE,
    STEER_OP_GEGLU,
    STEER_OP_GEGLU_BACK,
    STEER_OP_COUNT
};

struct steer_op {
    const char *     name; // "linear_back"; the same for every device
    ggml_custom_op_t cpu;
};

// NULL for an id or a name that does not exist.
const struct steer_op * steer_op_get(enum steer_op_id id);
const struct steer_op * steer_op_by_name(const char * name);

void steer_cpu_pack(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_norm(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_rope_table(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_rope(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_linear(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_linear_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_lora_down(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_lora_up_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_outer_acc(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_lora_down_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_attn(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_attn_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_rms_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_swiglu(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_swiglu_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_head_logprob(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_head_direction(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_head_direction_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_head_logprob_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_head_kl(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_scalar_head(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_scalar_head_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_scalar_head_grad(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_scalar_head_grad_bias(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_bias(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_scale(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_geglu(struct ggml_tensor * dst, int ith, int nth, void * userdata);
void steer_cpu_geglu_back(struct ggml_tensor * dst, int ith, int nth, void * userdata);

// Whether LINEAR, LINEAR_BACK and the head can read weights of this type.
bool steer_weight_type_ok(enum ggml_type type);

// ---------------------------------------------------------------------------------
// Optimizer helpers over flat arrays; the caller cuts them into pieces for threads.

// sum of x[i]^2 in double, in an order that depends on n alone.
double steer_cpu_sumsq(const float * x, int64_t n);

// One AdamW step (torch.optim.AdamW):
//   g *= gscale;  p *= 1 - lr*wd;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
//   p -= lr * (m / (1-b1^step)) / (sqrt(v / (1-b2^step)) + eps)      step counts from 1
void steer_cpu_adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2,
                     double eps, double wd, double gscale, int64_t step);

// ---------------------------------------------------------------------------------
// Kernel choice

// "portable", "avx2", "avx512" or "avx512bf16": the best this machine has, or the forced
// one. Only "avx512bf16" multiplies in bf16; the others widen bf16 inputs to f32.
const char * steer_cpu_kernel_name(void);
// For tests, while no operation runs: NULL goes back to the best. False if the machine lacks it.
bool steer_cpu_force_kernel(const char * name);

// Memory that the kernels of all threads keep between operations: bytes held, and how often it grew.
void steer_cpu_scratch(int64_t * bytes, int64_t * growths);

// ---------------------------------------------------------------------------------
// Dropout: a counter-based hash, the same on every device. Feature k of a token is kept
// if steer_dropout_bits(key, k) >= p * 2^32, where key depends on the token's seed and
// the site (which linear layer); kept values are multiplied by 1/(1-p).

struct steer_dropout_key {
    uint32_t a, b;
};

STEER_ON_DEVICE static inline struct steer_dropout_key steer_dropout_key_of(uint32_t seed_lo, uint32_t seed_hi,
                                                                            int32_t site) {
    // splitmix64 finish (Steele, Lea, Flood 2014)
    uint64_t z = ((uint64_t) seed_hi << 32 | seed_lo) + 0x9E3779B97F4A7C15ull * ((uint64_t) (uint32_t) site + 1);
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    struct steer_dropout_key key = { (uint32_t) z, (uint32_t) (z >> 32) };
    return key;
}

STEER_ON_DEVICE static inline uint32_t steer_dropout_bits(struct steer_dropout_key key, uint32_t k) {
    // "lowbias32" (C. Wellons, hash-prospector), with the key's second half between the rounds
    uint32_t x = k * 0x9E3779B9u + key.a;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= (x >> 15) ^ key.b;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return x;
}

static inline uint32_t steer_dropout_threshold(float p) {
    double t = (double) p * 4294967296.0;
    return t >= 4294967295.0 ? 4294967295u : (uint32_t) t;
}

#ifdef __cplusplus
}
#endif
