"""A training step of each family against its twin of the llama family, written to BENCHMARKS.md.

    families.py --steer bin/steer --cache folder --into BENCHMARKS.md [--shape NAME --type NAME --rounds N]

The twin has the same sizes and weights of the same type, so the same products of matrices: what a
family has beside them (norms, biases, capped scores, another gate) is what the ratio shows. The two
are measured in turn, each in a process of its own. A ratio is the median over the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from markers import Section

SECTION = Section("bench-families")
JOBS = ["train", "train-keep"]
FAMILIES = ["qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "granite", "olmo2", "smollm3", "mistral3"]


def measure(args, family):
    """Tokens a second of a training step, with layer checkpointing and with all activations kept."""
    command = [args.steer, "bench", "--json", "--jobs", ",".join(JOBS), "--shape", args.shape, "--type", args.type]
    command += ["--family", family, "--cache", args.cache, "--steps", str(args.steps), "--batch", str(args.batch)]
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    if p.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {p.returncode}:\n{p.stderr}")
    return {job["spec"]["job"]: job["tokens_per_second"]["median"] for job in json.loads(p.stdout)["jobs"]}


def rows(args):
    for family in FAMILIES:
        rounds = []
        for _ in range(args.rounds):
            rounds.append([measure(args, name) for name in ("llama", family)])
            print(family, rounds[-1], file=sys.stderr, flush=True)
        row = [f"`{family}`"]
        for job in JOBS:
            ratios = [own[job] / twin[job] for twin, own in rounds]
            row += [
                f"{statistics.median(own[job] for _, own in rounds):.0f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            ]
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steer", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--into", required=True, type=pathlib.Path)
    parser.add_argument("--shape", default="smollm2-135m")
    parser.add_argument("--type", default="q8_0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    args = parser.parse_args()
    if wrong := SECTION.missing(args.into):
        sys.exit(wrong)
    table = list(rows(args))
    lines = [
        f"Shape {args.shape}, {args.type}, {args.batch} x 256 tokens, LoRA of rank 16 on all linears, {os.cpu_count()} CPUs, "
        f"{time.strftime('%d %B %Y').lstrip('0')}; {args.rounds} rounds of {args.steps} steps, in turn.",
        "",
        "| family | tok/s | to its twin | tok/s, all kept | to its twin |",
        "|---|---|---|---|---|",
    ]
    SECTION.write(args.into, lines + ["| " + " | ".join(r) + " |" for r in table])


main()
