"""Checks, before anything is embedded, that the demo has something to show.

    python probe.py TOKENIZER.json CHECKPOINT.pt DATA_DIR [--ppo 0]

On the frozen base with LoRA (all linear layers): instruction tuning has to lower the held-out loss; each reward model
has to rank held-out pairs; the rewards have to differ between answers to one prompt; and, with --ppo N, N
iterations of a plain policy gradient have to raise each reward at a bounded KL. It is a sketch of what steer does, in
PyTorch, and shares no code with it.
"""

import argparse
import copy
import csv
import gzip
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

import bpe
import datasets
from model import Config, Llama

RANK, ALPHA = 8, 16
NAMES = ("deontology", "utilitarianism", "virtue", "harmless")


class Lora(nn.Module):
    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(RANK, base.in_features) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x):
        return self.base(x) + (x @ self.a.T @ self.b.T) * (ALPHA / RANK)


def with_lora(model: Llama) -> Llama:
    """A copy of the model with its linear layers frozen under fresh adapters (adapters below are merged first)."""
    model = copy.deepcopy(model)
    for p in model.parameters():
        p.requires_grad_(False)
    for layer in model.blk:
        for name, child in list(layer.named_children()):
            if isinstance(child, Lora):
                child.base.weight += (ALPHA / RANK) * child.b.data @ child.a.data
                child = child.base
            if isinstance(child, nn.Linear):
                setattr(layer, name, Lora(child))
    return model


def trainable(model):
    return [p for p in model.parameters() if p.requires_grad]


def pad(rows):
    width = max(map(len, rows))
    return torch.tensor([r + [bpe.PAD] * (width - len(r)) for r in rows]), torch.tensor([len(r) for r in rows])


def nll(model, rows):
    x, n = pad(rows)
    y = x[:, 1:].clone()
    y[torch.arange(1, x.shape[1])[None] >= n[:, None]] = -100
    return F.cross_entropy(model(x[:, :-1]).flatten(0, 1), y.flatten(), ignore_index=-100)


def optimiser(params, lr, steps):
    opt = torch.optim.AdamW(params, lr=lr, weight_decay=0.0)
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min(1, (s + 1) / 5) * max(0.05, 1 - s / steps))
    return opt, sched


def step(opt, sched, loss):
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for g in opt.param_groups for p in g["params"]], 1.0)
    opt.step()
    sched.step()


# --- data


def read_pairs(root: Path, rng):
    def rows(path):
        with open(root / path, newline="") as f:
            return list(csv.reader(f))

    out = {}
    for part in ("train", "test"):
        groups = {}
        for label, scenario, excuse in rows(f"ethics/deontology/deontology_{part}.csv")[1:]:
            groups.setdefault(scenario, ([], []))[label == "0"].append(f"{scenario} {excuse}")
        out["deontology", part] = [(a, b) for good, bad in groups.values() for a in good for b in bad]
        groups = {}
        for label, text in rows(f"ethics/virtue/virtue_{part}.csv")[1:]:
            groups.setdefault(text.split(" [SEP] ")[0], ([], []))[label == "0"].append(text)
        out["virtue", part] = [(a, b) for good, bad in groups.values() for a in good for b in bad]
        out["utilitarianism", part] = [tuple(r) for r in rows(f"ethics/utilitarianism/util_{part}.csv")]
        lines = gzip.decompress((root / f"hh-rlhf/harmless-base/{part}.jsonl.gz").read_bytes()).decode().splitlines()
        out["harmless", part] = [(d["chosen"], d["rejected"]) for d in map(json.loads, lines)]
    for v in out.values():
        rng.shuffle(v)
    return out


# --- stages


def tune(model, enc, train, held, steps, lr, rng, batch=16):
    model = with_lora(model)
    params = trainable(model)
    opt, sched = optimiser(params, lr, steps)
    with torch.no_grad():
        before = nll(model, held).item()
    for _ in range(steps):
        step(opt, sched, nll(model, rng.sample(train, batch)))
    with torch.no_grad():
        after = nll(model, held).item()
    return model, before, after


class Reward(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.head = with_lora(model), nn.Linear(Config().n_embd, 1, bias=False)
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(Config().n_embd))
        self.mean, self.std = 0.0, 1.0

    def forward(self, rows):
        x, n = pad(rows)
        h = self.model.hidden(x)[torch.arange(len(rows)), n - 1]
        return (self.head(h)[:, 0] - self.mean) / self.std


def train_reward(model, enc, pairs, steps, lr, rng, batch=8):
    rm = Reward(model)
    opt, sched = optimiser(trainable(rm), lr, steps)
    train = [(enc(a), enc(b)) for a, b in pairs]
    for _ in range(steps):
        rows = rng.sample(train, batch)
        s = rm([a for a, _ in rows] + [b for _, b in rows])
        step(opt, sched, -F.logsigmoid(s[:batch] - s[batch:]).mean())
    return rm


@torch.no_grad()
def accuracy(rm, enc, pairs):
    a, b = rm([enc(a) for a, _ in pairs]), rm([enc(b) for _, b in pairs])
    return (a > b).float().mean().item()


def answers(model, tok, prompt, count, limit, gen):
    ids = [bpe.BOS] + tok.encode(prompt).ids
    outs = model.generate([ids] * count, limit, bpe.EOS, gen)
    return ids, outs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=datasets.SEED)
    parser.add_argument("--sft-steps", type=int, default=60)
    parser.add_argument("--rm-steps", type=int, default=60)
    parser.add_argument("--sft-lr", type=float, default=2e-3)
    parser.add_argument("--rm-lr", type=float, default=2e-3)
    parser.add_argument("--ppo-lr", type=float, default=1e-3)
    parser.add_argument("--ppo", type=int, default=0)
    parser.add_argument("--prompts", type=int, default=24)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    rng, gen = random.Random(args.seed), torch.Generator().manual_seed(args.seed)
    tok = Tokenizer.from_file(str(args.tokenizer))
    base = Llama(Config())
    base.load_state_dict(torch.load(args.checkpoint, weights_only=True)["model"])
    enc = lambda text: [bpe.BOS] + tok.encode(text).ids

    print("== the base continues")
    for start in [
        "Tom found",
        "Today I",
        "It is wrong to",
        "I promised my sister to",
        "### Human: What would you do if you found a lost purse?### Assistant:",
    ]:
        print("  ", start, "|", tok.decode(answers(base, tok, start, 1, 40, gen)[1][0]))

    began = time.time()
    read = lambda p: [enc(json.loads(l)["text"]) + [bpe.EOS] for l in (args.data / p).read_text().splitlines()]
    train, held = (read(f"guanaco/openassistant_best_replies_{p}.jsonl") for p in ("train", "eval"))
    print(f"== instruction rows: {len(train)} / {len(held)}, {sum(map(len, train)) / len(train):.0f} tokens each")
    sft, before, after = tune(base, enc, train, held, args.sft_steps, args.sft_lr, rng)
    print(f"held-out loss {before:.3f} -> {after:.3f}  ({time.time() - began:.0f} s)")

    pairs = read_pairs(args.data, rng)
    rms = {}
    for name in NAMES:
        began = time.time()
        rm = train_reward(sft, enc, pairs[name, "train"], args.rm_steps, args.rm_lr, rng)
        tokens = sum(len(enc(a)) + len(enc(b)) for a, b in pairs[name, "test"]) / len(pairs[name, "test"]) / 2
        print(
            f"reward {name:15s} pairs {len(pairs[name, 'train'])} / {len(pairs[name, 'test'])}, {tokens:.0f} tokens; "
            f"accuracy {accuracy(rm, enc, pairs[name, 'train'][:200]):.3f} train, "
            f"{accuracy(rm, enc, pairs[name, 'test']):.3f} held out  ({time.time() - began:.0f} s)",
            flush=True,
        )
        rms[name] = rm

    prompts = [json.loads(l)["prompt"] for l in (args.data / "prompts/heldout.jsonl").read_text().splitlines()][
        : args.prompts
    ]
    table = {form: {name: [] for name in NAMES} for form in ("whole", "answer")}
    print("== answers of the instruction-tuned model, with the four rewards of the whole text")
    for i, prompt in enumerate(prompts):
        ids, outs = answers(sft, tok, prompt, 12, 48, gen)
        with torch.no_grad():
            for name, rm in rms.items():
                table["whole"][name].append(rm([ids + o for o in outs]))
                table["answer"][name].append(rm([enc(tok.decode(o).strip()) for o in outs]))
        if i < 12:
            print("  ", prompt[11:-14])
            for j in range(3):
                print("      ", tok.decode(outs[j]), [f"{table['whole'][n][-1][j]:.1f}" for n in NAMES])
    for form, by_name in table.items():
        flat = torch.stack([torch.stack(by_name[n]) for n in NAMES])  # [reward, prompt, answer]
        within = flat.std(2).mean(1)
        z = (flat - flat.mean(2, keepdim=True)).flatten(1)
        print(
            form,
            "spread inside a prompt:",
            [f"{w:.2f}" for w in within],
            "best of 12 over mean:",
            [f"{x:.2f}" for x in (flat.max(2).values - flat.mean(2)).mean(1)],
        )
        print("   correlation inside a prompt:\n", torch.corrcoef(z).numpy().round(2))

    if args.ppo:
        train_prompts = [
            json.loads(l)["text"].split("### Assistant:")[0] + "### Assistant:"
            for l in (args.data / "guanaco/openassistant_best_replies_train.jsonl").read_text().splitlines()
        ]
        steered = {"sft": sft}
        for rm in rms.values():  # reference answers set the scale
            with torch.no_grad():
                ref = torch.cat(
                    [rm([i + o for o in outs]) for i, outs in (answers(sft, tok, p, 4, 48, gen) for p in prompts)]
                )
            rm.mean, rm.std = ref.mean().item(), ref.std().item()
        for name in NAMES:
            steered[name] = policy_gradient(sft, rms[name], tok, train_prompts, args.ppo, args.ppo_lr, rng, gen)
        print("== mean reward of held-out answers (rows: policy; columns: reward)")
        for who, policy in steered.items():
            row = []
            gen.manual_seed(1)
            sampled = [answers(policy, tok, p, 4, 48, gen) for p in prompts]
            with torch.no_grad():
                for name in NAMES:
                    row.append(torch.cat([rms[name]([i + o for o in outs]) for i, outs in sampled]).mean().item())
            print(
                f"{who:15s}",
                [f"{x:+.2f}" for x in row],
                "|",
                tok.decode(sampled[0][1][0]),
                "|",
                tok.decode(sampled[1][1][0]),
            )


def logprobs(model, rows, start):
    """Log-probabilities of the answers' tokens [rows, tokens] and their mask."""
    x, n = pad(rows)
    lp = model(x[:, :-1]).log_softmax(-1).gather(-1, x[:, 1:, None])[..., 0]
    at = torch.arange(1, x.shape[1])[None]
    mask = (at >= torch.tensor(start)[:, None]) & (at < n[:, None])
    return lp, mask.float()


def policy_gradient(sft, rm, tok, prompts, iterations, lr, rng, gen, batch=16, kl_coef=0.05, epochs=2):
    """Clipped policy gradient with a batch baseline and a KL penalty: enough to see whether a reward can move."""
    policy = with_lora(sft)
    opt, sched = optimiser(trainable(policy), lr, 10 * iterations)
    for it in range(iterations):
        rows, starts, scores = [], [], []
        for prompt in rng.sample(prompts, batch // 4):
            ids, outs = answers(policy, tok, prompt, 4, 48, gen)
            rows += [ids + o + [bpe.EOS] for o in outs]
            starts += [len(ids)] * len(outs)
            with torch.no_grad():
                s = rm([ids + o for o in outs])
            scores.append(s - s.mean())
        adv = torch.cat(scores)
        with torch.no_grad():
            old, mask = logprobs(policy, rows, starts)
            ref, _ = logprobs(sft, rows, starts)
        kl = ((old - ref) * mask).sum(1)
        adv = (adv - kl_coef * (kl - kl.mean()))[:, None]
        adv = adv / (adv.std() + 1e-6)
        for _ in range(epochs):
            new, _ = logprobs(policy, rows, starts)
            ratio = (new - old).exp()
            loss = -torch.minimum(ratio * adv, ratio.clamp(0.8, 1.2) * adv)
            step(opt, sched, (loss * mask).sum() / mask.sum())
        if it % 10 == 9:
            print(f"    iteration {it + 1}: KL {kl.mean():.2f} nats a sequence", flush=True)
    return policy


if __name__ == "__main__":
    main()
