// steer.h: the C interface between Go (package cgo) and the native layer.
//
// Rules
//   - Every function is called from the one engine thread of its device.
//   - Functions that can fail return 0 on success and another number otherwise, with a
//     message in err[err_len] (cut short when it does not fit). No exception leaves.
//   - Functions that read, write or free and return no code cannot fail on a CPU. On a GPU
//     they can: the first failure is kept for the thread until steer_take_fault is called.
//   - Handles are freed by their *_free function; children before parents.
//   - Tensor shapes are in ggml order, ne[0] contiguous: [ne0, ne1].
//
// Each group names the file that implements it, in the same order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct steer_device  steer_device;  // compute device: backend and thread pool
typedef struct steer_model   steer_model;   // weights and vocabulary, loaded by libllama
typedef struct steer_lora    steer_lora;    // live adapter: parameters, gradients, moments
typedef struct steer_graph   steer_graph;   // one training graph at a time, memory reused
typedef struct steer_session steer_session; // libllama context for decoding
typedef struct ggml_tensor   steer_tensor;

enum { STEER_OK = 0, STEER_ERROR = 1, STEER_NO_MEMORY = 2, STEER_KV_FULL = 3 };

// ---- process (guard.cpp) ----------------------------------------------------------

// The number of native objects alive (devices, models, adapters, graphs, sessions).
int64_t steer_alive(void);

// The first failure, since the last call, of a function that returns no code: that code and
// its message; STEER_OK if there was none.
int steer_take_fault(char * err, size_t err_len);

// ---- device (device.cpp, device_cpu.cpp, device_gpu.cpp) --------------------------

typedef struct {
    const char *         name;        // "cpu"; "cuda", which is "cuda:0"; "cuda:N"
    int                  n_threads;   // on the host
    const char * const * libraries;   // where libsteer-cuda.so may be: the first that is there is loaded
    int                  n_libraries;
    const char *         driver;      // NVIDIA's driver library; NULL: libcuda.so.1
    bool                 check_each;  // on a GPU: wait after each op, so that an error names its own (slow)
} steer_device_params;
int          steer_device_new(const steer_device_params * params, steer_device ** out, char * err, size_t err_len);
void         steer_device_free(steer_device * dev);
const char * steer_device_name(const steer_device * dev);   // "cpu", "cuda:0"
const char * steer_device_kernel(const steer_device * dev); // the CPU kernels chosen, or the GPU and its architecture
int          steer_force_kernel(const char * name, char * err, size_t err_len); // "" = best

// Of a GPU: operations a second of large bf16 products (seconds of work).
int steer_device_gemm_rate(steer_device * dev, double * rate, char * err, size_t err_len);

// A GPU's memory, in bytes, whoever uses it.
typedef struct {
    size_t free, total;
    size_t opened;  // in use when the device had been opened: the driver's context and other programs'
    size_t most;    // the most in use since then: at every call of this, before a session is freed, and at any time
                    // where the device keeps a mark
    size_t scratch; // held by the kernels of training
} steer_memory;
int steer_device_memory(steer_device * dev, steer_memory * out, char * err, size_t err_len);

// Floating point operations done by n rounds of a loop in registers on the calling thread;
// 0: this CPU has no such instructions. Not bound to a device's thread.
double steer_peak_bf16(int64_t n);
double steer_peak_f32(int64_t n);

// ---- model (model.cpp) ------------------------------------------------------------

typedef struct {
    int32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_vocab, n_ctx_train;
    float   rms_eps, rope_freq_base;
    int32_t rope_type;     // ggml rope mode
    float   attn_scale;    // 0 = 1/sqrt(head_dim)
    float   attn_cap, logit_cap; // of attention scores and logits; 0 = not capped
    bool    tied;          // output matrix is the token embedding
    bool    decodes;       // continues texts, by attention alone: a sequence's last tokens can be taken back
    int64_t n_bytes;       // of all weights
    int64_t n_params;
} steer_hparams;

int    steer_model_load(steer_device * dev, const char * path, bool check_tensors, steer_model ** out, char * err,
                        size_t err_len);
void   steer_model_free(steer_model * model);
void   steer_model_hparams(const steer_model * model, steer_hparams * out);
size_t steer_model_device_bytes(const steer_model * model); // of the weights, in a GPU's memory
void   steer_model_desc(const steer_model * model, char * buf, size_t len);
// A tensor by its GGUF name ("blk.0.attn_q.weight"). "output.weight" answers also for tied
// embeddings; "rope_freqs.weight" may be NULL.
steer_tensor * steer_model_tensor(steer_model * model, const char * name);

// ---- tokens (tokens.cpp) ----------------------------------------------------------

// These two return the count, or minus the room needed when max is too small.
int32_t steer_tokenize(const steer_model * model, const char * text, int32_t len, int32_t * tokens, int32_t max,
                       bool add_special, bool parse_special);
int32_t steer_detokenize(const steer_model * model, const int32_t * tokens, int32_t n, char * text, int32_t max,
                         bool special);
int32_t steer_token_bos(const steer_model * model); // -1: none
int32_t steer_token_eos(const steer_model * model);
bool    steer_token_is_eog(const steer_model * model, int32_t token);
bool    steer_vocab_add_bos(const steer_model * model);
// false: there are token ids only, and libllama must not be asked for text.
bool    steer_has_tokenizer(const steer_model * model);

// ---- tensors (tensor.cpp) ---------------------------------------------------------

void         steer_tensor_shape(const steer_tensor * t, int64_t ne[4]);
const char * steer_tensor_type(const steer_tensor * t);
size_t       steer_tensor_bytes(const steer_tensor * t);
void         steer_tensor_set(steer_tensor * t, const void * data, size_t offset, size_t n_bytes);
void         steer_tensor_get(const steer_tensor * t, void * data, size_t offset, size_t n_bytes);

// ---- quantization (quantize.cpp) --------------------------------------------------
// Rows of f32 to a ggml type (by its number) and back. Not bound to a device's thread.

int    steer_quantize(int type, const float * src, int64_t n_rows, int64_t n_per_row, void * dst, size_t dst_bytes,
                      char * err, size_t err_len);
int    steer_dequantize(int type, const void * src, size_t src_bytes, float * dst, int64_t n_rows, int64_t n_per_row,
                        char * err, size_t err_len);
size_t steer_row_bytes(int type, int64_t n_per_row); // 0: no such type, or no whole blocks

// ---- quantization of a model's file (quantize_file.cpp) ---------------------------
// libllama's llama_model_quantize. run blocks; progress (in tensors) and stop may be called meanwhile by another
// thread. A stopped run ends with an error before its next tensor, and leaves what it has written.

typedef struct steer_quantizer steer_quantizer;

typedef struct {
    int  ftype; // enum llama_ftype
    int  n_threads;
    int  output_type, embedding_type; // ggml types of these two matrices; -1: as ftype says
    bool pure;       // all matrices in the type's own
    bool requantize; // matrices that are quantized already, too
} steer_quantizer_params;

int  steer_quantizer_new(const steer_quantizer_params * params, steer_quantizer ** out, char * err, size_t err_len);
// Matrices whose name the regular expression matches are stored as this type; of several, the last holds.
int  steer_quantizer_set_type(steer_quantizer * q, const char * pattern, int type, char * err, size_t err_len);
// How much each column of a matrix matters: n is its number of columns, times that of its experts.
int  steer_quantizer_set_importance(steer_quantizer * q, const char * tensor, const float * values, int64_t n,
                                    char * err, size_t err_len);
int  steer_quantizer_run(steer_quantizer * q, const char * in, const char * out, char * err, size_t err_len);
void steer_quantizer_progress(const steer_quantizer * q, int32_t * done, int32_t * total);
void steer_quantizer_stop(steer_quantizer * q);
void steer_quantizer_free(steer_quantizer * q);

// ---- live adapters (lora.cpp) -----------------------------------------------------

typedef struct {
    const char * name; // weight it belongs to
    int32_t      n_in, n_out, rank;
} steer_lora_pair;

// alpha: scale of a pair is alpha / rank. n_head > 0 adds a scalar head of that width.
// trainable adds gradient and Adam buffers. A planned adapter has shapes but no memory: graphs
// on it can be measured, not computed.
int steer_lora_new(steer_device * dev, steer_model * model, const steer_lora_pair * pairs, int32_t n_pairs, float alpha,
                   int32_t n_head, bool trainable, bool planned, steer_lora ** out, char * err, size_t err_len);
void steer_lora_free(steer_lora * lora);
// The flat layout of parameters: for each pair a [n_in, rank], then b [rank, n_out]; then the head's w and b.
int64_t        steer_lora_count(const steer_lora * lora);
int64_t        steer_lora_room(const steer_lora * lora); // with what lies between tensors for alignment
steer_tensor * steer_lora_param(steer_lora * lora, int32_t i); // i = 2*pair, 2*pair+1, then head w, b
steer_tensor * steer_lora_grad(steer_lora * lora, int32_t i);
enum { STEER_PARAMS = 0, STEER_GRADS = 1, STEER_MOMENT1 = 2, STEER_MOMENT2 = 3 };
void   steer_lora_read(const steer_lora * lora, int what, float * dst);
void   steer_lora_write(steer_lora * lora, int what, const float * src);
void   steer_lora_zero_grad(steer_lora * lora);
double steer_lora_grad_norm(const steer_lora * lora);
// One step of torch.optim.AdamW. step counts from 1; gradients are multiplied by gscale first.
void steer_lora_adamw(steer_lora * lora, float gscale, double lr, double beta1, double beta2, double eps,
                      double weight_decay, int64_t step);

// ---- graphs (graph.cpp) -----------------------------------------------------------
// Nodes run in the order of their creation. The first error (a wrong shape, a NULL operand)
// is kept: later calls return NULL and steer_graph_alloc reports it.

int  steer_graph_new(steer_device * dev, steer_graph ** out, char * err, size_t err_len);
void steer_graph_free(steer_graph * g);
int  steer_graph_begin(steer_graph * g, int32_t max_nodes, char * err, size_t err_len);
int  steer_graph_alloc(steer_graph * g, char * err, size_t err_len);

// What a graph would allocate, in bytes, asked of the allocator itself.
typedef struct {
    size_t activations; // inputs, intermediate results and outputs
    size_t tables;      // tensor structs of the graph and the allocator's tables
    size_t work;        // kept by ggml for its own operations, once a device
    size_t scratch;     // the most that a GPU's kernels have in use at once; 0 on a CPU, see steer_scratch_bytes
} steer_graph_use;
// Of the graph built since steer_graph_begin, which need not be allocated.
int steer_graph_measure(steer_graph * g, steer_graph_use * out, char * err, size_t err_len);
// Obtains the scratch memory that computing the graph needs of a GPU.
int steer_graph_reserve_scratch(steer_graph * g, char * err, size_t err_len);

int32_t steer_graph_nodes(const steer_graph * g);
size_t  steer_graph_bytes(const steer_graph * g); // scratch memory held

// Time by op, for `steer bench --profile`: while on, nodes run one by one under a clock.
typedef struct {
    char    op[32];
    int64_t count;
    double  seconds;
} steer_op_time;
void    steer_graph_profile(steer_graph * g, bool on); // clears what was measured
int32_t steer_graph_profile_read(const steer_graph * g, steer_op_time * times, int32_t max); // number of ops

int steer_graph_compute(steer_graph * g, int32_t from, int32_t to, char * err, size_t err_len);

enum { STEER_F32 = 0, STEER_I32 = 1, STEER_BF16 = 2 };
steer_tensor * steer_input(steer_graph * g, int type, int64_t ne0, int64_t ne1);
void           steer_keep(steer_tensor * t); // readable after compute: never reused
// offset: elements, in each row.
steer_tensor * steer_view2d(steer_graph * g, steer_tensor * a, int64_t ne0, int64_t ne1, int64_t offset);
steer_tensor * steer_get_rows(steer_graph * g, steer_tensor * table, steer_tensor * ids);
steer_tensor * steer_cont(steer_graph * g, steer_tensor * a); // contiguous copy
steer_tensor * steer_add(steer_graph * g, steer_tensor * a, steer_tensor * b);
// A custom op by its number in ops.h. inplace: the result is a view of src[0].
typedef struct {
    float   f[4];
    int32_t i[6];
} steer_op_args;
steer_tensor * steer_custom(steer_graph * g, int op, int type, int64_t ne0, int64_t ne1, bool inplace,
                            steer_tensor * const * src, int32_t n_src, const steer_op_args * args);
const char *   steer_op_name(int op);

// ---- sessions (session.cpp) -------------------------------------------------------

// n_ctx is per sequence. kv_f32 keeps keys and values in f32 and switches flash attention
// off (parity tests). At most two adapters: libllama adds them in the order of a hash map,
// which is fixed only for two. plain leaves libllama its own kernels (comparisons in tests).
int  steer_session_new(steer_device * dev, steer_model * model, steer_lora * const * loras, int32_t n_loras,
                       int32_t n_seq_max, int32_t n_ctx, int32_t n_batch, bool kv_f32, bool plain, steer_session ** out,
                       char * err, size_t err_len);
void steer_session_free(steer_session * s);
void steer_session_clear(steer_session * s);
void steer_session_remove(steer_session * s, int32_t seq);
// Sequence `to` becomes the first n tokens of sequence `from`, which may be the same.
void steer_session_copy(steer_session * s, int32_t from, int32_t to, int32_t n);

typedef struct {
    float   temperature; // 0: greedy
    int32_t top_k;       // 0: off
    float   top_p;       // 0 or 1: off
    float   min_p;       // 0: off
} steer_sampling;

// Decodes n tokens, then draws: the k-th draw is of a token that follows the token after[k] of these, with the
// uniform variate uniform[k], and goes to next[k]. Several may follow one token: answers to one prompt.
int steer_session_decode(steer_session * s, int32_t n, const int32_t * tokens, const int32_t * pos, const int32_t * seq,
                         int32_t n_draws, const int32_t * after, const double * uniform,
                         const steer_sampling * sampling, int32_t * next, char * err, size_t err_len);
// Names and counts of the nodes of the last graph that ggml computed, not we: "ADD 1, GET_ROWS 3".
size_t steer_session_rest(const steer_session * s, char * buf, size_t len);
// The logits after the i-th token of the last decode, after which something must have been drawn.
int steer_session_logits(steer_session * s, int32_t i, float * logits, char * err, size_t err_len);

// ---- plans (plan.cpp) -------------------------------------------------------------
// What would be allocated, asked of the allocators themselves, and what has been. All in bytes.

// How often memory was obtained for graphs, for ggml's work and for the kernels' scratch since the
// process began: a training step after the first must not move it.
int64_t steer_allocations(void);
size_t  steer_scratch_bytes(void); // held by the kernels of all threads for themselves

typedef struct {
    size_t kv;       // keys and values: cleared, hence resident, from the start
    size_t reserved; // room for the activations of the largest decode that the session allows
    size_t compute;  // of it, what a decode of n_tokens tokens with n_outputs logits touches; a GPU holds it all, so
                     // there it is the same
    size_t host;     // on a GPU: of the decode's activations, those in the host's memory
    size_t logits;   // of n_outputs, in the host's memory
    size_t tables;   // of libllama and ggml, in the host's memory
} steer_session_use;
// Of a session opened with the same arguments.
int steer_session_measure(steer_device * dev, steer_model * model, steer_lora * const * loras, int32_t n_loras,
                          int32_t n_seq_max, int32_t n_ctx, int32_t n_batch, bool kv_f32, int32_t n_tokens,
                          int32_t n_outputs, steer_session_use * out, char * err, size_t err_len);

// ---- probes of upstream mistakes, for tests only (upstream_probe.cpp) -------------

// Largest error of ggml's backward operation over its largest value, when the memory of
// its first (RMS norm) or second (softmax) operand is reused for the result, and when not.
int steer_probe_rms_norm_back(steer_device * dev, double * reused, double * kept, char * err, size_t err_len);
int steer_probe_soft_max_back(steer_device * dev, double * reused, double * kept, char * err, size_t err_len);
// Largest change of a logit made by an adapter attached before the first decode, by one set
// after a decode of the same shape, and by clearing one after such a decode.
int steer_probe_adapter_change(steer_device * dev, steer_model * model, steer_lora * lora, double * before,
                               double * set_after, double * clear_after, char * err, size_t err_len);

#ifdef __cplusplus
}
#endif
