"""steer and PEFT in turn on one NVIDIA GPU, on random weights in the shapes of known models.

    gpu.py --steer bin/steer --cache FOLDER [--python PYTHON] [--into BENCHMARKS.md] [--out FOLDER] [--plan NAME,...]

PYTHON is one with torch, transformers, peft and, for NF4, bitsandbytes. Each measurement is a process
of its own. FOLDER keeps steer's synthetic model files.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

from markers import Section

SECTION = Section("bench-gpu")
GB = 1e9
TRAIN = ("--batch", 8, "--tokens", 1024, "--rank", 16)
QV = ("--targets", "attn_q,attn_v")

# name: what steer measures (shape, type, further flags), and what the peers do beside it
PLANS = {
    "tiny": (
        "tiny",
        "q8_0",
        ("--jobs", "train", "--batch", 2, "--tokens", 64),
        [("tiny", "all", "bf16"), ("tiny", "all", "nf4")],
    ),
    "train-7b": (
        "llama-2-7b",
        "q4_k_m",
        ("--jobs", "train", *TRAIN),
        [("llama-2-7b", "all", "bf16"), ("llama-2-7b", "all", "nf4")],
    ),
    "train-7b-qv": ("llama-2-7b", "q4_k_m", ("--jobs", "train", *TRAIN, *QV), [("llama-2-7b", "qv", "bf16")]),
    "train-7b-q8": ("llama-2-7b", "q8_0", ("--jobs", "train", *TRAIN), []),
    "train-13b": (
        "llama-2-13b",
        "q4_k_m",
        ("--jobs", "train", *TRAIN),
        [("llama-2-13b", "all", "bf16"), ("llama-2-13b", "all", "nf4")],
    ),
    "train-13b-qv": ("llama-2-13b", "q4_k_m", ("--jobs", "train", *TRAIN, *QV), [("llama-2-13b", "qv", "bf16")]),
    "train-7b-micro": ("llama-2-7b", "q4_k_m", ("--jobs", "train", *TRAIN, "--micro-batch", 2), []),
    "train-13b-micro": ("llama-2-13b", "q4_k_m", ("--jobs", "train", *TRAIN, "--micro-batch", 2), []),
    "decode-7b": ("llama-2-7b", "q4_k_m", ("--jobs", "rollout", "--sequences", "64", "--new", 64), []),
    "ppo-13b": ("llama-2-13b", "q4_k_m", ("--jobs", "ppo", "--steps", 1), []),
}


def run(args, name, command):
    print(f"{time.strftime('%H:%M:%S')} {name}: {' '.join(map(str, command))}", file=sys.stderr, flush=True)
    p = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if args.out:
        (args.out / f"{name}.txt").write_text(p.stdout + p.stderr)
    if p.returncode != 0:
        print(f"{name} ended with {p.returncode}: {p.stderr[-1500:]}", file=sys.stderr, flush=True)
        return None
    return json.loads(p.stdout[p.stdout.index("{") :])


def steer(args, name, plan):
    shape, typ, flags, _ = plan
    command = [args.steer, "bench", "--json", "--device", "cuda", "--cache", args.cache]
    command += ["--shape", shape, "--type", typ, "--steps", 3, *flags]
    if args.profile:
        command.append("--profile")
    report = run(args, f"{name}.steer", command)
    if report is None:
        return []
    lines = []
    for r in report["jobs"]:
        speed = r["tokens_per_second"]["median"]
        for op in (r.get("ops") or [])[:24]:
            print(f"    {op['op']:<24} {op['count']:6d} {1e3 * op['seconds']:9.1f} ms", file=sys.stderr)
        lines.append(
            [
                name,
                f"steer, {typ}",
                speed,
                r["device_bytes"],
                f"{r['share_of_peak']:.0%} of {r['peak_bf16_gflops'] / 1e3:.0f} TFLOP/s",
                r["kernel"],
            ]
        )
    return lines


def peer(args, name, shape, targets, base):
    command = [args.python, pathlib.Path(__file__).with_name("gpu_train.py")]
    command += ["--shape", shape, "--targets", targets, "--base", base]
    r = run(args, f"{name}.{base}", command)
    if r is None:
        return []
    speed = statistics.median(r["tokens"] / s for s in r["seconds"])
    versions = " ".join(f"{k} {v}" for k, v in r["versions"].items())
    return [[name, f"PEFT, {base}", speed, r["peak_allocated"], versions, r["gpu"]]]


def table(lines):
    out = [
        "",
        "| plan | program | tok/s | GPU memory, GB | steer / peer: speed, memory | |",
        "|---|---|---|---|---|---|",
    ]
    base = {}
    for name, who, speed, memory, note, _ in lines:
        ratio = ""
        if who.startswith("steer"):
            base.setdefault(name, (speed, memory))
        elif name in base:
            ratio = f"{base[name][0] / speed:.2f}x, {base[name][1] / memory:.2f}x"
        out.append(f"| {name} | {who} | {speed:.0f} | {memory / GB:.1f} | {ratio} | {note} |")
    gpus = sorted({line[5] for line in lines})
    return [
        *out,
        "",
        "GPU: "
        + "; ".join(gpus)
        + ". Memory: steer's is all that is in use on the GPU, the driver's own included; PEFT's the largest allocation.",
    ]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--steer", type=pathlib.Path, required=True)
    p.add_argument("--cache", type=pathlib.Path, required=True)
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--into", type=pathlib.Path)
    p.add_argument("--out", type=pathlib.Path, help="keep what the processes printed here")
    p.add_argument("--plan", default=",".join(k for k in PLANS if k != "tiny"))
    p.add_argument("--profile", action="store_true")
    p.add_argument("--no-peers", action="store_true")
    args = p.parse_args()
    lines = []
    for name in args.plan.split(","):
        lines += steer(args, name, PLANS[name])
        for shape, targets, base in [] if args.no_peers else PLANS[name][3]:
            lines += peer(args, name, shape, targets, base)
        print("\n".join(table(lines)), flush=True)
    if args.into:
        SECTION.write(args.into, table(lines))


main()
