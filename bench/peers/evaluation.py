"""Times steer and lm-evaluation-harness on the same items, in turn, and writes the table to BENCHMARKS.md.

    evaluation.py --steer bin/steer --gguf model.gguf --model folder-of-convert.py --data dev.jsonl.gz --into BENCHMARKS.md

Scruples anecdotes, label log-likelihood. First the harness's precision and batch size are chosen on a few items. Then both
score one block of items after the other, a process each, steer first. The harness's time is that of scoring alone; steer's
is that of its whole process: starting, loading, planning, the statistics. The ratio of a block is the one over the other.
"""

import argparse
import gzip
import io
import json
import os
import pathlib
import shutil
import statistics
import sys
import time

import run
import table
import zstandard
from markers import Section  # run.py has put its folder on the path

HERE = pathlib.Path(__file__).parent
SECTION = Section("bench-eval")
AIM = "5"
QUESTION = "\n\nQuestion: Is the author of this story RIGHT or WRONG?\nAnswer:"  # of eval/benchmark/scruples.go


def items(path, n):
    """Prompt and gold of the first n anecdotes (0: all), as eval/benchmark/scruples.go makes them."""
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    out = []
    with opened as lines:
        for line in lines:
            if n and len(out) == n:
                break
            d = json.loads(line)
            story = (d["title"].strip() + "\n" + d["text"].strip()).rstrip()
            out.append({"prompt": story + QUESTION, "gold": int(d["binarized_label"] == "RIGHT")})
    return out


def steer(args, first, limit):
    """Seconds of a whole evaluation, and the log-probabilities of each item's choices."""
    folder = args.work / "steer"
    shutil.rmtree(folder, ignore_errors=True)
    scruples = {"path": str(args.data.resolve()), "protocols": ["loglik"], "first": first, "limit": limit}
    job = {"model": str(args.gguf.resolve()), "bos": "off", "scruples": scruples, "engine": {"threads": args.threads}}
    path = args.work / "eval.yaml"
    path.write_text(json.dumps(job))  # JSON is YAML
    start = time.perf_counter()
    _, load = run.run([args.steer, "eval", path, "--out", folder], os.environ)
    seconds = time.perf_counter() - start
    (records,) = folder.glob("items/scruples.loglik.base.jsonl.zst")
    with records.open("rb") as f:
        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(f), encoding="utf-8")
        rows = sorted((json.loads(line) for line in text), key=lambda r: r["row"])
    return {"seconds": seconds, "logprobs": [r["logprobs"] for r in rows], "load": load}


def harness(args, part, dtype, batch, tuned=True):
    """The same of lm-evaluation-harness."""
    path = args.work / "items.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in part))
    env = {
        **os.environ,
        "OMP_NUM_THREADS": str(args.threads),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(args.work / "huggingface"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    if tuned:
        env["GLIBC_TUNABLES"] = run.MALLOC
    command = [sys.executable, HERE / "lmeval.py", "--model", args.model, "--dtype", dtype, "--threads", args.threads]
    command += ["--warmup", 0, "--steps", 1, "--batch", batch, "--items", path, "--limit", len(part)]
    out, load = run.run(command, env)
    result = json.loads(out.strip().splitlines()[-1])
    return {**result, "seconds": result["seconds"][0], "load": load}


def tune(args, everything):
    """The fastest precision and batch size, and the seconds of all that were tried."""
    part = everything[: args.tune]
    tried = {}
    for dtype in ("bf16", "f32"):
        for batch in args.batches:
            r = harness(args, part, dtype, batch)
            tried[f"{dtype}, {batch} a batch"] = r["seconds"]
            run.say(f"lm-evaluation-harness, {dtype}, {batch} a batch: {r['seconds']:.1f} s for {len(part)} items")
    best = min(tried, key=tried.get)
    dtype, batch = best.split(" a ")[0].split(", ")
    return dtype, int(batch), tried


def measure(args, everything, dtype, batch):
    """A pair of results for each block of items."""
    pairs = []
    for first in range(0, len(everything), args.block):
        part = everything[first : first + args.block]
        pairs.append((steer(args, first, len(part)), harness(args, part, dtype, batch)))
        ours, theirs = (r["seconds"] for r in pairs[-1])
        run.say(f"items {first} to {first + len(part) - 1}: steer {ours:.1f} s, harness {theirs:.1f} s: {theirs / ours:.2f}")
        args.raw.parent.mkdir(parents=True, exist_ok=True)
        args.raw.write_text(json.dumps(pairs))
    return pairs


def agreement(pairs):
    """How far the two are apart: mean and largest difference of a log-probability, share of equal predictions."""
    apart, same = [], []
    for ours, theirs in pairs:
        for a, b in zip(ours["logprobs"], theirs["logprobs"], strict=True):
            apart += [abs(x - y) for x, y in zip(a, b, strict=True)]
            same.append(a.index(max(a)) == b.index(max(b)))
    return statistics.mean(apart), max(apart), statistics.mean(same)


def machine(pairs):
    others, steal = ([r["load"][key] for pair in pairs for r in pair] for key in ("others", "steal"))
    return (
        f"While a process ran, others took {statistics.median(others):.0%} of the machine (at most {max(others):.0%}), "
        f"the hypervisor {statistics.median(steal):.0%} (at most {max(steal):.0%})."
    )


def report(args, everything, pairs, config, tried):
    dtype, batch = config
    version, _ = run.run([args.steer, "--version"], os.environ)
    theirs = pairs[0][1]
    mean, most, same = agreement(pairs)
    rates = [[len(r["logprobs"]) / r["seconds"] for r in side] for side in zip(*pairs, strict=True)]
    ratios = [b["seconds"] / a["seconds"] for a, b in pairs]
    cells = [
        f"Scruples dev, log-likelihood, {len(everything)} items",
        *(f"{sum(r['seconds'] for r in side):.0f}" for side in zip(*pairs, strict=True)),
        *(table.spread(r) for r in rates),
        f"{dtype}, {batch} a batch",
        f"**{table.spread(ratios)}**",
        AIM,
    ]
    return [
        f"Written by `make bench-eval` on {time.strftime('%Y-%m-%d', time.gmtime())}.",
        f"{table.cpu()}, {args.threads} threads. {version.strip()}, lm-evaluation-harness {theirs['lm_eval']}, "
        f"torch {theirs['versions']['torch']}, transformers {theirs['versions']['transformers']}; "
        f"`GLIBC_TUNABLES={run.MALLOC}` for the harness.",
        machine(pairs),
        f"SmolLM2-135M-Instruct, Q4_1 and dequantized; two choices an item, no BOS; blocks of {args.block} items in turn.",
        "",
        table.markdown(["evaluation", "steer s", "harness s", "steer items/s", "harness items/s", "its configuration", "ratio", "aim"]),
        "|" + "---|" * 8,
        table.markdown(cells),
        "",
        "Ratio: of the seconds of a block, median (min-max). The harness's seconds are those of scoring alone, steer's those of",
        "its whole process. Log-probabilities of the choices differ by "
        f"{mean:.3f} nats on average, {most:.2f} at most; {same:.1%} of the predictions are the same.",
        f"The harness on {args.tune} items, s: " + "; ".join(f"{k} {v:.1f}" for k, v in tried.items()) + ".",
    ]  # fmt: skip


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steer", required=True, type=pathlib.Path)
    p.add_argument("--gguf", required=True, type=pathlib.Path)
    p.add_argument("--model", required=True, type=pathlib.Path, help="folder that convert.py wrote")
    p.add_argument("--data", required=True, type=pathlib.Path, help="Scruples anecdotes, JSON lines, perhaps .gz")
    p.add_argument("--items", type=int, default=240, help="anecdotes to score; 0: all of the file")
    p.add_argument("--block", type=int, default=120, help="items a process scores")
    p.add_argument("--tune", type=int, default=16, help="items on which the harness's configuration is chosen")
    p.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16], help="batch sizes to try")
    p.add_argument("--into", type=pathlib.Path, help="file with the two marker lines; default: print the table")
    p.add_argument("--raw", type=pathlib.Path, default=pathlib.Path("build/bench/eval.json"))
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/bench/eval"))
    p.add_argument("--threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    if args.into and (problem := SECTION.missing(args.into)):
        p.error(problem)
    args.work.mkdir(parents=True, exist_ok=True)
    args.work = args.work.resolve()
    everything = items(args.data, args.items)
    dtype, batch, tried = tune(args, everything)
    lines = report(args, everything, measure(args, everything, dtype, batch), (dtype, batch), tried)
    print("\n".join(lines))
    if args.into:
        SECTION.write(args.into, lines)


if __name__ == "__main__":
    main()
