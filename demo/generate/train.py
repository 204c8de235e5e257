"""Trains the demo's base model and writes a PyTorch checkpoint.

    python train.py TOKENIZER.json OUT.pt [--minutes 10] [--steps 900] [--seed 20240501]

The learning rate follows the number of steps; --minutes only bounds the wall time: the model
is written as it is when they are over.
"""

import argparse
import itertools
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import bpe
import corpus
import datasets
from model import Config, Llama


def token_stream(tok: Tokenizer, seed: int):
    """Documents as one endless row of ids, each one between BOS and EOS."""
    docs = corpus.stream(seed)
    while True:
        for enc in tok.encode_batch(list(itertools.islice(docs, 512))):
            yield bpe.BOS
            yield from enc.ids
            yield bpe.EOS


def batches(stream, rows: int, width: int):
    while True:
        flat = torch.tensor(list(itertools.islice(stream, rows * width))).view(rows, width)
        yield flat[:, :-1], flat[:, 1:]


def loss_of(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=datasets.SEED)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=4e-3)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    tok = Tokenizer.from_file(str(args.tokenizer))
    model = Llama(Config())
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)

    # Muon for the matrices inside the layers, AdamW for the embedding and the norms.
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("blk")]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2 or not n.startswith("blk")]
    opts = [
        torch.optim.Muon(matrices, lr=args.lr, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    stream, held = token_stream(tok, args.seed), batches(token_stream(tok, args.seed + 1), 16, 257)
    held = [next(held) for _ in range(4)]
    # Short rows first, the full context for the last fifth.
    short, full = batches(stream, 32, 129), batches(stream, 8, Config().n_ctx + 1)
    warmup, began, tokens = 40, time.time(), 0
    for step in range(args.steps):
        x, y = next(short if step < args.steps * 0.8 else full)
        rate = min(1, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        loss = loss_of(model, x, y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            for group in opt.param_groups:
                group["lr"] = args.lr * rate
            opt.step()
        tokens += y.numel()
        if step % 50 == 49 or step == args.steps - 1:
            with torch.no_grad():
                ev = sum(loss_of(model, a, b).item() for a, b in held) / len(held)
            spent = time.time() - began
            print(
                f"step {step + 1:5d}  train {loss.item():.3f}  held-out {ev:.3f}  {tokens / spent:,.0f} tok/s  {spent:.0f} s",
                flush=True,
            )
            torch.save({"model": model.state_dict(), "step": step + 1, "held": ev}, args.out)
            if spent > args.minutes * 60:
                break


if __name__ == "__main__":
    main()
