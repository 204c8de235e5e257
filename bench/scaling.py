"""How speed and memory of a training step grow, written to BENCHMARKS.md.

    scaling.py --steer bin/steer --gguf model.gguf --cache folder --into BENCHMARKS.md [--quick]

Against context, batch, LoRA rank and threads on the given model, then against model size on random
weights. Every line is a process of its own. Fails if memory grows faster than context.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from markers import Section

SECTION = Section("bench-scaling")
GB = 1e9


def measure(args, jobs, *more, steps=2, warmup=1):
    """Results of steer bench by job; later flags override earlier ones."""
    flags = ["--jobs", ",".join(jobs), "--steps", steps, "--warmup", warmup]
    if args.quick:
        flags = ["--jobs", ",".join(jobs), "--steps", 1, "--warmup", 0, "--batch", 1, "--tokens", 64]
    command = [*map(str, [args.steer, "bench", "--json", "--profile", *flags, *more])]
    print(" ".join(command), file=sys.stderr, flush=True)
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    if p.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {p.returncode}:\n{p.stderr}")
    return {r["spec"]["job"]: r for r in json.loads(p.stdout)["jobs"]}


def attention(r):
    """Share of the step that attention took, where the engine times its operations."""
    ops = r.get("ops") or []
    total = sum(op["seconds"] for op in ops)
    return f"{sum(op['seconds'] for op in ops if 'attn' in op['op']) / total:.0%}" if total else "-"


def speed(r):
    t = r["tokens_per_second"]
    return f"{t['median']:.0f} ({t['min']:.0f}-{t['max']:.0f})"


def size(n):
    return f"{n / GB:.2f}"


HEAD = ["tok/s", "of peak", "attention", "activations GB", "peak RSS GB"]


def cells(r):
    return [speed(r), f"{r['share_of_peak']:.0%}", attention(r), size(r["scratch_bytes"]), size(r["peak_rss"])]


def table(title, note, head, rows):
    lines = [f"**{title}**: {note}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows] + [""]


def contexts(args, base):
    rows, scratch = [], {}
    both = ["train", "train-keep"]
    for n in [64, 128] if args.quick else [128, 256, 512, 1024, 2048, 4096]:
        r = measure(args, both, *base, "--batch", 1, "--tokens", n)
        rows.append(
            [
                n,
                *cells(r["train"]),
                speed(r["train-keep"]),
                size(r["train-keep"]["scratch_bytes"]),
                size(r["train-keep"]["peak_rss"]),
            ]
        )
        scratch[n] = {job: r[job]["scratch_bytes"] for job in both}
    for a, b in zip(list(scratch), list(scratch)[1:]):
        for job in both:
            growth = scratch[b][job] / scratch[a][job]
            if growth > 1.05 * b / a:
                sys.exit(f"{job}: activations grow {growth:.2f} times from {a} to {b} tokens: more than linearly")
    keep = ["tok/s, all kept", "activations GB", "peak RSS GB"]
    return table(
        "Context", "one sequence; with checkpointing, then with all activations kept", ["tokens", *HEAD, *keep], rows
    )


def against(args, base, title, note, flag, values):
    rows = [[v, *cells(measure(args, ["train"], *base, flag, v)["train"])] for v in values]
    return table(title, note, [title.lower(), *HEAD], rows)


def models(args):
    """Model sizes on random weights; one that does not fit is left out aloud."""
    rows = []
    wanted = [
        ("smollm2-135m", "q8_0", 4, 1.0, 0.2),
        ("tinyllama-1.1b", "q4_k_m", 4, 2.0, 0.8),
        ("llama-2-7b", "q4_k_m", 1, 7.0, 4.5),
    ]
    for shape, quant, batch, memory, disk in wanted[:1] if args.quick else wanted:
        have = memory_available()
        if have < memory * GB or free_disk(args.cache) < disk * GB:
            rows.append(
                [
                    shape,
                    quant,
                    f"{batch} x 256",
                    f"left out: it needs {memory} GB of memory and {disk} GB of disk",
                    *[""] * (len(HEAD) - 1),
                ]
            )
            continue
        once = {"steps": 1, "warmup": 0} if memory > 4 else {}
        r = measure(
            args, ["train"], "--shape", shape, "--type", quant, "--cache", args.cache, "--batch", batch, **once
        )["train"]
        rows.append([shape, quant, f"{batch} x 256", *cells(r)])
    return table("Model size", "random weights", ["shape", "type", "tokens", *HEAD], rows)


def memory_available():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def free_disk(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steer", required=True, type=pathlib.Path)
    p.add_argument("--gguf", required=True, type=pathlib.Path)
    p.add_argument("--cache", required=True, type=pathlib.Path, help="folder for the files of random weights")
    p.add_argument("--into", type=pathlib.Path, help="file with the two marker lines; default: print")
    p.add_argument("--quick", action="store_true", help="one step of the small sizes: to see that everything runs")
    args = p.parse_args()
    if args.into and (problem := SECTION.missing(args.into)):
        p.error(problem)
    base = ["--model", args.gguf]
    threads = sorted({1, *[2**i for i in range(10) if 2**i <= os.cpu_count()], os.cpu_count()})
    quick = " with --quick" if args.quick else ""
    lines = [
        f"Written by `make bench-scaling` on {time.strftime('%Y-%m-%d', time.gmtime())}{quick}: training steps",
        f"with AdamW, LoRA rank 16 on all linears and layer checkpointing on {args.gguf.name} unless said;",
        f"{os.cpu_count()} CPUs.",
        "Activations: memory the engine holds between the calls; it grows linearly with context, which the run checks.",
        "",
        *contexts(args, base),
        *against(args, base, "Batch", "sequences of 256 tokens", "--batch", [1, 2] if args.quick else [1, 2, 4, 8, 16]),
        *against(args, base, "Rank", "of LoRA, 4 x 256 tokens", "--rank", [4, 8] if args.quick else [4, 8, 16, 32, 64]),
        *against(args, base, "Threads", "4 x 256 tokens", "--threads", threads),
        *models(args),
    ]
    print("\n".join(lines))
    if args.into:
        SECTION.write(args.into, lines)


if __name__ == "__main__":
    main()
