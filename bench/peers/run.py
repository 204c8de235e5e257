"""Runs steer and its peers on the same jobs, interleaved, and writes the table to BENCHMARKS.md.

    run.py --steer bin/steer --gguf model.gguf --model folder-of-convert.py --into BENCHMARKS.md [--quick]

Every measurement is a process of its own. A round runs each job once: steer, then each peer
configuration that is still in the race (one more than a tenth slower than the best of the first
round is not run again). The ratio of a round is steer's median over that of the best configuration.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
# Without it glibc gives memory back to the system and faults it in again at every step: the
# peers are a third slower.
MALLOC = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
BEGIN, END = "<!-- bench-peers:begin -->", "<!-- bench-peers:end -->"
SIZES = [1, 8, 32, 64]


@dataclasses.dataclass
class Job:
    name: str  # of the table
    steer: list  # arguments of steer bench
    peer: list  # script and its arguments
    steps: int
    peer_steps: int
    rounds: int
    configs: list  # (dtype, malloc tuned)
    bar: str = ""


def jobs(quick):
    rounds, steps = (1, 1) if quick else (3, 2)
    both = [("f32", True), ("bf16", True), ("bf16", False)]
    new = 16 if quick else 128
    peer_new = 16 if quick else 64
    sizes = ",".join(map(str, SIZES))
    return [
        Job("train step", ["train-keep"], ["train.py"], 3 * steps, steps, rounds, both, "1.5x"),
        Job("train step, checkpointing", ["train"], ["train.py", "--checkpointing"], 3 * steps, steps, rounds, both, "1.8x, RSS 1/5"),
        Job("log-probabilities", ["score"], ["score.py"], 4 * steps, 2 * steps, rounds, both, "1.5x, RSS 1/4"),
        Job("sampling", ["rollout", "--sequences", sizes, "--new", str(new)], ["sample.py", "--sequences", sizes, "--new", str(peer_new)],
            steps, 1, rounds, both, "5x / 4x / 4x / 4x"),
        Job("PPO iteration", ["ppo"], ["ppo.py"], 3, 1, 1 if quick else 2, [("f32", True)], "8x, RSS 1/15"),
    ]


def cpu_times():
    user, nice, system, idle, wait, irq, soft, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return user + nice + system + irq + soft, idle + wait, steal


def run(command, env):
    """Runs a process and returns its output and how much of the machine others took meanwhile."""
    busy0, idle0, steal0 = cpu_times()
    own0 = os.times()
    start = time.time()
    p = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {p.returncode}:\n{p.stderr[-4000:]}")
    busy1, idle1, steal1 = cpu_times()
    own1 = os.times()
    total = (busy1 - busy0) + (idle1 - idle0) + (steal1 - steal0)
    own = (own1.children_user - own0.children_user + own1.children_system - own0.children_system) * os.sysconf("SC_CLK_TCK")
    return p.stdout, {"others": max(0.0, (busy1 - busy0 - own) / total), "steal": (steal1 - steal0) / total, "wall": time.time() - start}


def steer_run(args, job):
    command = [args.steer, "bench", "--model", args.gguf, "--json", "--threads", str(args.threads), "--warmup", "1", "--steps", str(job.steps), "--jobs", *job.steer]
    out, load = run(command, os.environ)
    results = []
    for r in json.loads(out)["jobs"]:
        prefill = r.get("prefill_per_second")
        results.append({
            "rate": [r["tokens"] / s for s in r["seconds"]], "seconds": r["seconds"], "peak_rss": r["peak_rss"], "load": load, "kernel": r["kernel"],
            "share": r["share_of_peak"], "gflops": r["gflops"]["median"], "prefill": prefill and [prefill["median"]], "peak": (r["peak_bf16_gflops"], r["peak_f32_gflops"]),
        })
    return results


def peer_run(args, job, dtype, tuned):
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if tuned:
        env["GLIBC_TUNABLES"] = MALLOC
    script, *rest = job.peer
    command = [sys.executable, HERE / script, "--model", args.model, "--dtype", dtype, "--threads", str(args.threads), "--warmup", "1", "--steps", str(job.peer_steps), *rest]
    out, load = run(command, env)
    r = json.loads(out.strip().splitlines()[-1])
    results = []
    for x in r.get("sizes", [r]):
        results.append({
            "rate": [x["tokens"] / s for s in x["seconds"]], "seconds": x["seconds"], "peak_rss": x["peak_rss"], "load": load, "versions": r["versions"],
            "prefill": [x["prefill_tokens"] / s for s in x["prefill_seconds"]] if "prefill_seconds" in x else None,
        })
    return results


def config_name(dtype, tuned):
    return dtype + ("" if tuned else ", default malloc")


def median(results):
    return statistics.median(x for r in results for x in r["rate"])


class Race:
    """All measurements of one line of the table; peers by configuration."""

    def __init__(self, job, name):
        self.job, self.name, self.steer, self.peers = job, name, [], {}

    def in_race(self):
        best = max(median(r) for r in self.peers.values())
        return {c for c, r in self.peers.items() if median(r) >= 0.9 * best}

    def best(self):
        return max(self.peers, key=lambda c: median(self.peers[c]))


def measure(args):
    races = []
    for job in jobs(args.quick):
        if args.jobs and job.name not in args.jobs:
            continue
        names = [f"sampling, {n} sequence{'s' if n > 1 else ''}" for n in SIZES] if job.name == "sampling" else [job.name]
        races.append((job, [Race(job, n) for n in names]))
    for i in range(max(job.rounds for job, _ in races)):
        for job, lines in races:
            if i >= job.rounds:
                continue
            print(f"round {i + 1}: {job.name}", file=sys.stderr, flush=True)
            for line, r in zip(lines, steer_run(args, job)):
                line.steer.append(r)
            for config in job.configs:
                if i > 0 and not any(config in line.in_race() for line in lines):
                    continue
                for line, r in zip(lines, peer_run(args, job, *config)):
                    line.peers.setdefault(config, []).append(r)
                print(f"  {config_name(*config)}: {[round(median(l.peers[config]), 1) for l in lines]} tok/s, steer {[round(median(l.steer), 1) for l in lines]}", file=sys.stderr, flush=True)
            save(args, races)
    return [line for _, lines in races for line in lines]


def save(args, races):
    """Raw numbers after every job, so that an interrupted run is not lost."""
    raw = {line.name: {"steer": line.steer, "peers": {config_name(*c): r for c, r in line.peers.items()}} for _, lines in races for line in lines}
    args.raw.write_text(json.dumps(raw, indent=1))


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"


def gigabytes(n):
    return f"{n / 1e9:.2f}"


def row(line):
    best = line.best()
    peers = line.peers[best]
    pairs = [median([s]) / median([p]) for s, p in zip(line.steer, peers)]
    rss = max(r["peak_rss"] for r in line.steer)
    peer_rss = max(r["peak_rss"] for r in peers)
    least = min(max(r["peak_rss"] for r in rs) for rs in line.peers.values())
    unit = "rate" if line.name != "PPO iteration" else "seconds"
    values = lambda rs: spread([x for r in rs for x in r[unit]])
    n = f"{sum(len(r['rate']) for r in line.steer)} / {sum(len(r['rate']) for r in peers)}"
    share = f"{statistics.median(r['share'] for r in line.steer) * 100:.0f} %"
    return (f"| {line.name}{' (s)' if unit == 'seconds' else ''} | {values(line.steer)} | {values(peers)} | {config_name(*best)} | **{spread(pairs)}** | "
            f"{gigabytes(rss)} | {gigabytes(peer_rss)} ({gigabytes(least)}) | {peer_rss / rss:.1f} ({least / rss:.1f}) | {share} | {n} |")


def cpu():
    info = dict(l.split(":", 1) for l in open("/proc/cpuinfo").read().split("\n\n")[0].splitlines() if ":" in l)
    info = {k.strip(): v.strip() for k, v in info.items()}
    bf16 = "AVX512 with BF16" if "avx512_bf16" in info.get("flags", "") else "no AVX512-BF16"
    return f"{info.get('model name', '?')} (family {info.get('cpu family', '?')}, model {info.get('model', '?')}, {bf16})"


def table(args, lines):
    versions = next(iter(lines[0].peers.values()))[0]["versions"]
    loads = [r["load"] for line in lines for rs in [line.steer, *line.peers.values()] for r in rs]
    prefill = [f"{line.name.split(', ')[1]}: {spread([x for r in line.steer for x in r['prefill']])} against {spread([x for r in line.peers[line.best()] for x in r['prefill']])}"
               for line in lines if line.steer[0]["prefill"]]
    steer_version = subprocess.run([args.steer, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    out = [
        BEGIN,
        f"Written by `make bench-peers` on {time.strftime('%Y-%m-%d', time.gmtime())}{' with --quick: one step each, not to be quoted' if args.quick else ''}. {cpu()}, {args.threads} threads.",
        f"{steer_version}, kernels `{lines[0].steer[0]['kernel']}`; " + ", ".join(f"{k} {v}" for k, v in versions.items()) + f", `{MALLOC}` unless said.",
        f"While a process ran, others took at most {max(l['others'] for l in loads):.0%} of the machine, the hypervisor {max(l['steal'] for l in loads):.0%}"
        f" (medians {statistics.median(l['others'] for l in loads):.0%}, {statistics.median(l['steal'] for l in loads):.0%}).",
        "",
        "| job | steer | best peer | its configuration | ratio (rounds) | steer GB | peer GB (least of any) | ratio | steer's share of peak | n |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *[row(line) for line in lines],
        "",
        "tok/s, median (min-max) over all measured steps; n: steps of steer / of that peer. GB: peak resident memory of the process, in brackets the smallest of",
        "any peer configuration. Ratio: of medians round by round, median (min-max). Sampling: decoding alone.",
        *(["Prompts read, tok/s: " + "; ".join(prefill) + "."] if prefill else []),
        END,
    ]
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steer", required=True, type=pathlib.Path)
    p.add_argument("--gguf", required=True, type=pathlib.Path)
    p.add_argument("--model", required=True, type=pathlib.Path, help="folder that convert.py wrote")
    p.add_argument("--into", type=pathlib.Path, help="file with the two marker lines; default: print the table")
    p.add_argument("--raw", type=pathlib.Path, default=pathlib.Path("build/bench-peers.json"))
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--jobs", nargs="*", help="names of the table's jobs; default: all")
    p.add_argument("--quick", action="store_true", help="one round, one step: to see that everything runs")
    args = p.parse_args()
    known = [j.name for j in jobs(True)]
    for name in args.jobs or []:
        if name not in known:
            p.error(f"--jobs: {name!r}: want some of {known}")
    if args.into and not (BEGIN in args.into.read_text() and END in args.into.read_text()):
        p.error(f"{args.into} has no lines {BEGIN} and {END}")
    lines = measure(args)
    text = table(args, lines)
    print(text)
    if args.into:
        before, rest = args.into.read_text().split(BEGIN)
        args.into.write_text(before + text + rest.split(END)[1])


if __name__ == "__main__":
    main()
