"""transformers and PEFT on what steer exports: a job a line on standard input, an answer a line on standard output.

A job is JSON: "gguf" (the base, float32), "class" and "config" of transformers, "adapter" (a PEFT
folder, or null), "ids" (lists of token ids), "score" (true: a sequence classifier). The answer has
"logprobs" or "scores", and the versions.
"""

import importlib.metadata
import json
import sys

import gguf
import numpy
import torch
import transformers
from peft import PeftModel

# Architectures whose rows of q and k are stored interleaved (see testdata/golden/README.md).
PERMUTED = {"llama", "granite", "smollm3", "mistral3"}
# Their RMS norms are stored with 1 added.
NORM_PLUS_ONE = {"gemma", "gemma2", "gemma3"}


def unpermute(w, heads):
    d = w.shape[0] // heads
    return w.reshape(heads, d // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def weights(reader, model, arch, config):
    """The tensors of the file by transformers' names."""
    number = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    stored = {t.name: t for t in reader.tensors}
    out = {}
    for name in model.state_dict():
        known = name.removesuffix(".weight").removesuffix(".bias")
        mapped = names.get_name(known)
        if mapped is None:
            continue
        t = stored.get(mapped + name[len(known) :])
        if t is None:
            continue
        w = gguf.dequantize(t.data, t.tensor_type).reshape(tuple(int(d) for d in reversed(t.shape)))
        if arch in PERMUTED and ".q_proj." in name:
            w = unpermute(w, config.num_attention_heads)
        if arch in PERMUTED and ".k_proj." in name:
            w = unpermute(w, config.num_key_value_heads)
        if arch in NORM_PLUS_ONE and name.endswith("norm.weight"):
            w = w - 1
        out[name] = torch.from_numpy(numpy.ascontiguousarray(w))
    return out


def base(job):
    reader = gguf.GGUFReader(job["gguf"])
    arch = reader.fields["general.architecture"].contents()
    name = job["class"]
    if job["score"]:
        name = name.replace("ForCausalLM", "TextForSequenceClassification")  # Gemma 3 has one for images, too
        if not hasattr(transformers, name):
            name = name.replace("TextForSequence", "ForSequence")
    cls = getattr(transformers, name)
    config = cls.config_class(**job["config"])
    if job["score"]:
        config.num_labels = 1
    config.pad_token_id = None  # no padding here; a token of that id would be taken for it
    config._attn_implementation = "eager"
    model = cls(config)
    loaded = weights(reader, model, arch, config)
    missing, unexpected = model.load_state_dict(loaded, strict=False)
    missing = [m for m in missing if m not in ("lm_head.weight", "score.weight")]
    if missing or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.float()


def answer(job):
    model = base(job)
    if job["adapter"]:
        model = PeftModel.from_pretrained(model, job["adapter"])
    model.eval()
    rows = []
    with torch.no_grad():
        for ids in job["ids"]:
            x = torch.tensor([ids])
            logits = model(input_ids=x).logits[0]
            if job["score"]:
                rows.append(float(logits[0]))
                continue
            p = torch.log_softmax(logits[:-1].float(), -1)
            rows.append(p.gather(1, x[0, 1:, None])[:, 0].tolist())
    versions = {n: importlib.metadata.version(n) for n in ("torch", "transformers", "peft")}
    return {"scores" if job["score"] else "logprobs": rows, "versions": versions}


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
