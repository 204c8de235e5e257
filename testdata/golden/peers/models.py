"""The two models of the goldens as transformers models in float32."""

import struct

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import golden


def unpermute(w, heads):
    """Rows of each head from (x0, y0, x1, y1, ...) to (x0, x1, ..., y0, y1, ...)."""
    return w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def stories260k():
    """S: the llama2.c checkpoint, version 0."""
    raw = (golden.ROOT / "models/stories260K/stories260K.bin").read_bytes()
    dim, ff, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", raw[:28])
    if vocab < 0:
        raise SystemExit("a checkpoint with an output matrix of its own is not expected")
    x, at = np.frombuffer(raw, dtype="<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        n = int(np.prod(shape))
        at += n
        return x[at - n : at].reshape(shape)

    kv = dim // heads * kv_heads
    embed, norm1 = take(vocab, dim), take(layers, dim)
    q, k, v, o = take(layers, dim, dim), take(layers, kv, dim), take(layers, kv, dim), take(layers, dim, dim)
    norm2, gate, down, up = take(layers, dim), take(layers, ff, dim), take(layers, dim, ff), take(layers, ff, dim)
    weights = {"model.embed_tokens.weight": embed, "model.norm.weight": take(dim), "lm_head.weight": embed}
    for i in range(layers):
        p = f"model.layers.{i}."
        weights |= {
            p + "input_layernorm.weight": norm1[i],
            p + "self_attn.q_proj.weight": unpermute(q[i], heads),
            p + "self_attn.k_proj.weight": unpermute(k[i], kv_heads),
            p + "self_attn.v_proj.weight": v[i],
            p + "self_attn.o_proj.weight": o[i],
            p + "post_attention_layernorm.weight": norm2[i],
            p + "mlp.gate_proj.weight": gate[i],
            p + "mlp.down_proj.weight": down[i],
            p + "mlp.up_proj.weight": up[i],
        }
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab, hidden_size=dim, intermediate_size=ff, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=context, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, attn_implementation="eager",
    ))
    tensors = {name: torch.from_numpy(np.array(w)) for name, w in weights.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if [name for name in missing if "inv_freq" not in name] or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    return model.float().eval()


def smollm2(folder, cls=LlamaForCausalLM, **kwargs):
    """M: the folder f32 that bench/peers/convert.py wrote, in which gguf-py dequantized every tensor."""
    model = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **kwargs)
    return model.eval()


def logprobs(model, ids):
    """log p(ids[t+1] | ids[..t]) for t = 0 .. n-2."""
    out = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)
    return out[:-1].gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)
