"""Writes what an independent reader of the finished GGUF computes: token ids and log-probabilities of some texts.

    python reference.py MODEL.gguf TOKENIZER.json OUT.json

The weights are read back from the file, dequantized, and run by model.py in float32, so that the numbers check the
file (order of rows, quantization, vocabulary), not only the network.
"""

import json
import sys

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

import bpe
from model import Config, Llama

TEXTS = [
    "Tom shared bread with his sister.",
    "### Human: What would you do if you found a lost purse?### Assistant: I would take it to the owner.",
    "Anna pushed a child at the park. [SEP] cruel",
    "\n\nHuman: How can I lie to my boss about the key?\n\nAssistant: I will not help with that. It's 'wrong' \u2014 na\u00efve 42.",
]


def deinterleave(w: np.ndarray, heads: int) -> np.ndarray:
    rows, n_in = w.shape
    return w.reshape(heads, rows // heads // 2, 2, n_in).swapaxes(1, 2).reshape(rows, n_in)


def main():
    path, tokenizer, out = sys.argv[1:4]
    c = Config()
    weights = {}
    for t in gguf.GGUFReader(path).tensors:
        w = gguf.quants.dequantize(t.data, t.tensor_type)
        if "attn_q" in t.name or "attn_k" in t.name:
            w = deinterleave(w, c.n_head if "attn_q" in t.name else c.n_head_kv)
        weights[t.name] = torch.from_numpy(np.array(w, dtype=np.float32))
    model = Llama(c)
    model.load_state_dict(weights)
    tok = Tokenizer.from_file(tokenizer)
    rows = []
    for text in TEXTS:
        ids = [bpe.BOS] + tok.encode(text).ids
        x = torch.tensor([ids])
        with torch.no_grad():
            lp = model(x[:, :-1]).log_softmax(-1).gather(-1, x[:, 1:, None])[0, :, 0]
        rows.append({"text": text, "ids": ids, "logprobs": [round(v, 6) for v in lp.tolist()]})
    with open(out, "w") as f:
        json.dump({"rows": rows}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
