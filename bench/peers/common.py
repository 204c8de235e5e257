"""What the peers' jobs share: the model with LoRA on it, tokens, timing, peak memory, the answer."""

import argparse
import importlib.metadata
import json
import pathlib
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def arguments(**defaults):
    """Parses --model, --dtype, --threads, --steps, --warmup and the job's own integers or switches."""
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True, type=pathlib.Path, help="folder that convert.py wrote")
    p.add_argument("--dtype", choices=DTYPES, default="f32")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--warmup", type=int, default=1)
    for name, value in defaults.items():
        if isinstance(value, bool):
            p.add_argument("--" + name, action="store_true")
        else:
            p.add_argument("--" + name, type=type(value), default=value)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    return args


def base_model(args, cls=AutoModelForCausalLM, **kwargs):
    """The frozen model in the wanted precision, every page of it touched."""
    model = cls.from_pretrained(args.model / args.dtype, dtype=DTYPES[args.dtype], attn_implementation="sdpa", **kwargs)
    for p in model.parameters():
        p.data = p.data.clone()  # not the mapped file
    return model


def lora_config(rank=16, **kwargs):
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=TARGETS, **kwargs)


def lora_model(args):
    """The model with LoRA on all seven linears, adapters in the model's precision."""
    model = get_peft_model(base_model(args), lora_config(task_type="CAUSAL_LM"))
    with torch.no_grad():  # B is zero at first: let it do real work
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(0, 1e-3)
    return model.to(DTYPES[args.dtype])


def random_ids(model, n_seq, n_tokens):
    return torch.randint(100, model.config.vocab_size, (n_seq, n_tokens))  # below are special tokens


def status(key):
    """A size of /proc/self/status in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak():
    """Starts VmHWM anew, so that what loading took for a moment does not count."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def timed(args, step):
    """Seconds of each measured step."""
    seconds = []
    for i in range(args.warmup + args.steps):
        start = time.perf_counter()
        step()
        took = time.perf_counter() - start
        print(f"step {i}: {took:.3f} s", file=sys.stderr)
        if i >= args.warmup:
            seconds.append(took)
    return seconds


def answer(**result):
    """Prints the result as the last line of standard output."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "trl")}
    print(json.dumps({**result, "peak_rss": status("VmHWM"), "versions": versions}))
