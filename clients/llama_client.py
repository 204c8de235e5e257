"""llama.cpp on what steer exports: a job a line on standard input, an answer a line on standard output.

A job is JSON: "gguf", "adapters" (LoRA GGUF files), "ids" (lists of token ids), "pooled" (true: what
pooling gives). The answer has "logprobs" or "pooled". The bindings are those of llama-cpp-python
(LLAMA_BINDINGS, its source folder), the library is in LLAMA_CPP_LIB_PATH.
"""

import ctypes
import json
import os
import sys
import types

import numpy

# Only the plain bindings: the package itself wants more packages.
package = types.ModuleType("llama_cpp")
package.__path__ = [os.path.join(os.environ["LLAMA_BINDINGS"], "llama_cpp")]
sys.modules["llama_cpp"] = package
import llama_cpp.llama_cpp as ll  # noqa: E402


def quiet(level, text, data):
    if level >= 4:  # GGML_LOG_LEVEL_ERROR
        sys.stderr.write(text.decode())


def context(job, model):
    params = ll.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # GGML_TYPE_F32
    params.flash_attn_type = 0  # disabled
    params.embeddings = job["pooled"]
    ctx = ll.llama_init_from_model(model, params)
    loras = [ll.llama_adapter_lora_init(model, p.encode()) for p in job["adapters"]]
    if not ctx or not all(loras):
        raise SystemExit("llama.cpp does not load this")
    if loras:
        pointers = (ll.llama_adapter_lora_p_ctypes * len(loras))(*[ctypes.cast(x, ll.llama_adapter_lora_p_ctypes) for x in loras])
        scales = (ctypes.c_float * len(loras))(*[1.0] * len(loras))
        if ll.llama_set_adapters_lora(ctx, pointers, len(loras), scales):
            raise SystemExit("llama.cpp does not take the adapters")
    return ctx


def run(job, ctx, model, ids):
    n = len(ids)
    batch = ll.llama_batch_init(n, 0, 1)
    batch.n_tokens = n
    for i, t in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = t, i, 1, 1
        batch.seq_id[i][0] = 0
    ll.llama_memory_clear(ll.llama_get_memory(ctx), True)
    if ll.llama_decode(ctx, batch):
        raise SystemExit("llama.cpp does not decode this")
    if job["pooled"]:
        rank = ll.llama_pooling_type(ctx) == 4
        size = ll.llama_model_n_cls_out(model) if rank else ll.llama_model_n_embd(model)
        return [float(x) for x in ll.llama_get_embeddings_seq(ctx, 0)[:size]]
    vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
    rows = numpy.array([numpy.ctypeslib.as_array(ll.llama_get_logits_ith(ctx, i), (vocab,)) for i in range(n)])
    rows = rows.astype(numpy.float64)
    rows -= rows.max(1, keepdims=True)
    rows -= numpy.log(numpy.exp(rows).sum(1, keepdims=True))
    return [float(rows[i, ids[i + 1]]) for i in range(n - 1)]


def answer(job):
    params = ll.llama_model_default_params()
    params.n_gpu_layers = 0
    model = ll.llama_model_load_from_file(job["gguf"].encode(), params)
    if not model:
        raise SystemExit("llama.cpp does not load this model")
    ctx = context(job, model)
    rows = [run(job, ctx, model, ids) for ids in job["ids"]]
    ll.llama_free(ctx)
    ll.llama_model_free(model)
    return {"pooled" if job["pooled"] else "logprobs": rows}


def main():
    callback = ll.llama_log_callback(quiet)
    ll.llama_log_set(callback, None)
    ll.llama_backend_init()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
