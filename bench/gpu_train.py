"""A training step of the Python peer on a GPU: PEFT's LoRA on a Llama with random weights, in bf16 or on
bitsandbytes' NF4, layers checkpointed, labels everywhere, AdamW. Prints one line of JSON."""

import argparse
import importlib.metadata
import json
import time

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

# embedding, layers, feed-forward, heads: those of steer bench --shape
SHAPES = {"tiny": (64, 2, 128, 4), "llama-2-7b": (4096, 32, 11008, 32), "llama-2-13b": (5120, 40, 13824, 40)}
TARGETS = {
    "qv": ["q_proj", "v_proj"],
    "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--shape", choices=SHAPES, required=True)
    p.add_argument("--base", choices=("bf16", "nf4"), default="bf16")
    p.add_argument("--targets", choices=TARGETS, default="all")
    p.add_argument("--rank", type=int, default=16)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--tokens", type=int, default=1024)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--warmup", type=int, default=2)
    return p.parse_args()


def to_nf4(model):
    """Every linear but the head on NF4 blocks, quantized on the GPU one at a time."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            new = bnb.nn.Linear4bit(
                module.in_features, module.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
            )
            weight = torch.randn(module.weight.shape, dtype=torch.bfloat16, device="cuda") * module.in_features**-0.5
            new.weight = bnb.nn.Params4bit(weight.cpu(), requires_grad=False, quant_type="nf4").to("cuda")
            model.set_submodule(name, new)


def build(args):
    embd, layers, ff, heads = SHAPES[args.shape]
    config = LlamaConfig(
        hidden_size=embd, num_hidden_layers=layers, intermediate_size=ff, num_attention_heads=heads, vocab_size=32000,
        max_position_embeddings=4096, tie_word_embeddings=False, use_cache=False, attn_implementation="sdpa",
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    if args.base == "nf4":
        to_nf4(model)
    for name, p in list(model.named_parameters()):
        if p.is_meta:
            scale = p.shape[-1] ** -0.5 if p.dim() > 1 else 0
            data = torch.randn(p.shape, dtype=torch.bfloat16, device="cuda") * scale + (0 if p.dim() > 1 else 1)
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, nn.Parameter(data, requires_grad=False))
    model.model.rotary_emb = type(model.model.rotary_emb)(config, device="cuda")
    torch.set_default_dtype(torch.float32)
    lora = LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=0.0,
        target_modules=TARGETS[args.targets],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, lora, autocast_adapter_dtype=False).to("cuda")
    with torch.no_grad():  # B is zero at first: let it do real work
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.data = p.data.to(torch.bfloat16)
            if "lora_B" in name:
                p.normal_(0, 1e-3)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def main():
    args = arguments()
    torch.manual_seed(0)
    model = build(args)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)
    ids = torch.randint(0, 32000, (args.batch, args.tokens), device="cuda")
    torch.cuda.reset_peak_memory_stats()

    def step():
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()

    seconds = []
    for i in range(args.warmup + args.steps):
        start = time.perf_counter()
        step()
        if i >= args.warmup:
            seconds.append(time.perf_counter() - start)
    free, total = torch.cuda.mem_get_info()
    names = ["torch", "transformers", "peft"] + (["bitsandbytes"] if args.base == "nf4" else [])
    result = {
        "seconds": seconds,
        "tokens": args.batch * args.tokens,
        "peak_allocated": torch.cuda.max_memory_allocated(),
        "in_use": total - free,
        "versions": {name: importlib.metadata.version(name) for name in names},
        "gpu": torch.cuda.get_device_name(),
    }
    print(json.dumps(result))


main()
