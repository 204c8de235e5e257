"""Writes a checkpoint as a GGUF file that llama.cpp loads: architecture `llama`, weights Q8_0, norms F32.

    python export.py TOKENIZER.json CHECKPOINT.pt OUT.gguf [--type Q8_0|F32|F16]

ggml's `llama` architecture turns neighbouring elements of a head together (2j with 2j+1), while the model was trained
with element j turning with j + head_dim/2. So the rows of q and k are re-ordered inside each head:
    gguf[head][2*j + i] = trained[head][i*head_dim/2 + j],  j in [0, head_dim/2), i in {0, 1}.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T

import bpe
from model import Config

NAME = "steer demo"
DESCRIPTION = "Tiny Llama-architecture model on generated text about everyday acts; made for the demo of steer."


def interleave(w: np.ndarray, heads: int) -> np.ndarray:
    """[heads * head_dim, n_in] in rotate-half order -> neighbouring pairs."""
    rows, n_in = w.shape
    return w.reshape(heads, 2, rows // heads // 2, n_in).swapaxes(1, 2).reshape(rows, n_in)


def add_tokenizer(out: gguf.GGUFWriter, path: Path):
    spec = json.loads(path.read_text())["model"]
    tokens = [t for t, _ in sorted(spec["vocab"].items(), key=lambda kv: kv[1])]
    merges = [m if isinstance(m, str) else " ".join(m) for m in spec["merges"]]
    types = [gguf.TokenType.CONTROL if t in bpe.SPECIAL else gguf.TokenType.NORMAL for t in tokens]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(merges)
    out.add_bos_token_id(bpe.BOS)
    out.add_eos_token_id(bpe.EOS)
    out.add_pad_token_id(bpe.PAD)
    out.add_add_bos_token(True)
    out.add_add_eos_token(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", default="Q8_0", choices=["Q8_0", "F16", "F32"])
    args = parser.parse_args()
    c, kind = Config(), T[args.type]
    weights = {k: v.float().numpy() for k, v in torch.load(args.checkpoint, weights_only=True)["model"].items()}

    out = gguf.GGUFWriter(str(args.out), "llama")
    out.add_name(NAME)
    out.add_description(DESCRIPTION)
    out.add_type("model")
    out.add_file_type(
        {
            "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
            "F16": gguf.LlamaFileType.MOSTLY_F16,
            "F32": gguf.LlamaFileType.ALL_F32,
        }[args.type]
    )
    out.add_vocab_size(c.vocab)
    out.add_context_length(c.n_ctx)
    out.add_embedding_length(c.n_embd)
    out.add_block_count(c.n_layer)
    out.add_feed_forward_length(c.n_ff)
    out.add_head_count(c.n_head)
    out.add_head_count_kv(c.n_head_kv)
    out.add_rope_dimension_count(c.head_dim)
    out.add_rope_freq_base(c.rope_base)
    out.add_layer_norm_rms_eps(c.eps)
    add_tokenizer(out, args.tokenizer)
    for name, w in weights.items():
        if "attn_q" in name or "attn_k" in name:
            w = interleave(w, c.n_head if "attn_q" in name else c.n_head_kv)
        if w.ndim == 1 or kind == T.F32:
            out.add_tensor(name, np.ascontiguousarray(w, np.float32))
        else:
            out.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(w), kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
