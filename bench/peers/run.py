"""Runs steer and its peers on the same jobs, interleaved, and writes the tables to BENCHMARKS.md.

    run.py --steer bin/steer --gguf model.gguf --model folder-of-convert.py --into BENCHMARKS.md [--quick]

Every measurement is a process of its own. A round runs each job once: steer, then each peer configuration
that is still in the race (one that was a tenth slower than the best of the round before is not run again).
The ratio of a round is steer's median over that of the best configuration.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import table

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))
from markers import Section

SECTION = Section("bench-peers")
# Without it glibc gives memory back to the system and faults it in again at every step, which makes
# the peers up to a third slower (and smaller, so one configuration goes without).
MALLOC = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
CONFIGS = [("f32", True), ("bf16", True), ("bf16", False)]  # precision of model and adapters, malloc tuned


@dataclasses.dataclass
class Job:
    name: str  # of the table
    steer: list  # job and flags of steer bench
    peer: list  # script and its arguments
    steps: int  # measured steps of a process of steer
    peer_steps: int
    rounds: int
    configs: list
    aims: tuple  # ratio (and memory) wanted; one a line of the table
    sizes: tuple = ()  # numbers of sequences, a line of the table each

    def lines(self):
        """The lines of the table that one process measures."""
        unit = "seconds" if self.peer[0] in ("ppo.py", "grpo.py", "dpo.py") else "rate"
        names = [f"{self.name}, {n} sequence{'s' if n > 1 else ''}" for n in self.sizes] or [self.name]
        return [table.Race(name, aim, unit) for name, aim in zip(names, self.aims, strict=False)]


def all_jobs(quick):
    """The jobs of the table. Both sides take sizes by the same names; quick ones are tiny."""
    rounds, steps = (1, 1) if quick else (3, 2)
    batch = ["--batch", "1", "--tokens", "64"] if quick else ["--batch", "4", "--tokens", "256"]
    sizes, length = ((1, 8), "16") if quick else ((1, 8, 32, 64), "64")
    new = ["--prompt", length, "--new", length]
    sample = ["--sequences", ",".join(map(str, sizes)), *new]
    ppo = [*new, "--episodes", "2" if quick else "8", "--epochs", "4"]
    grpo = [*ppo, "--group", "2" if quick else "8"]
    dpo = [*new, "--episodes", "2" if quick else "8"]
    train, score = ["train.py", *batch], ["score.py", *batch]
    return [
        Job("train step", ["train-keep", *batch], train, 3 * steps, steps, rounds, CONFIGS, ("1.5",)),
        Job("train step, checkpointing", ["train", *batch], [*train, "--checkpointing"], 3 * steps, steps, rounds,
            CONFIGS, ("1.8; GB 5",)),
        Job("log-probabilities", ["score", *batch], score, 4 * steps, 2 * steps, rounds, CONFIGS, ("1.5; GB 4",)),
        Job("sampling", ["rollout", *sample], ["sample.py", *sample], 1, 1, rounds, CONFIGS[:2],
            ("5", "4", "4", "4"), sizes),
        # trl's trainer takes more than a minute an iteration
        Job("PPO iteration", ["ppo", *ppo], ["ppo.py", *ppo], 3 * steps, 1, 1, CONFIGS[:1], ("8; GB 15",)),
        Job("GRPO iteration", ["grpo", *grpo], ["grpo.py", *grpo], steps, 1, 1, CONFIGS[:1], ("4; GB 5",)),
        Job("DPO step", ["dpo", *dpo], ["dpo.py", *dpo], 3 * steps, 2 * steps, rounds, CONFIGS, ("1.5; GB 5",)),
    ]  # fmt: skip


def cpu_times():
    """Ticks of the whole machine since it started: busy, idle, taken by the hypervisor."""
    first = pathlib.Path("/proc/stat").read_text().splitlines()[0]
    user, nice, system, idle, wait, irq, soft, steal = map(int, first.split()[1:9])
    return user + nice + system + irq + soft, idle + wait, steal


def run(command, env):
    """Runs a process; returns its output and which share of the machine others had meanwhile."""
    before, own_before = cpu_times(), os.times()
    p = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True, check=False)
    if p.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {p.returncode}:\n{p.stderr[-4000:]}")
    busy, idle, steal = (b - a for a, b in zip(before, cpu_times(), strict=True))
    own = os.times()
    seconds = own.children_user - own_before.children_user + own.children_system - own_before.children_system
    total = max(1, busy + idle + steal)
    others = busy - seconds * os.sysconf("SC_CLK_TCK")
    return p.stdout, {"others": max(0.0, others / total), "steal": steal / total}


def steer(args, *flags):
    """Results of steer bench, one a job."""
    command = [args.steer, "bench", "--model", args.gguf, "--json", "--threads", args.threads, "--jobs", *flags]
    out, load = run(command, os.environ)
    return [{**r, "load": load} for r in json.loads(out)["jobs"]]


def steer_process(args, job):
    results = []
    for r in steer(args, *job.steer, "--warmup", 1, "--steps", job.steps):
        prefill = r.get("prefill_per_second")
        results.append({
            "rate": [r["tokens"] / s for s in r["seconds"]], "seconds": r["seconds"], "peak_rss": r["peak_rss"],
            "share": r["share_of_peak"], "prefill": [prefill["median"]] if prefill else None,
            "kernel": r["kernel"], "load": r["load"],
        })  # fmt: skip
    return results


def peer_process(args, job, dtype, tuned):
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if tuned:
        env["GLIBC_TUNABLES"] = MALLOC
    script, *rest = job.peer
    flags = [
        "--model",
        args.model,
        "--dtype",
        dtype,
        "--threads",
        args.threads,
        "--warmup",
        1,
        "--steps",
        job.peer_steps,
    ]
    out, load = run([sys.executable, HERE / script, *flags, *rest], env)
    answer = json.loads(out.strip().splitlines()[-1])
    results = []
    for r in answer.get("sizes", [answer]):
        prefill = [r["prefill_tokens"] / s for s in r["prefill_seconds"]] if "prefill_seconds" in r else None
        results.append({
            "rate": [r["tokens"] / s for s in r["seconds"]], "seconds": r["seconds"], "peak_rss": r["peak_rss"],
            "prefill": prefill, "versions": answer["versions"], "load": load,
        })  # fmt: skip
    return results


def measure(args):
    """All rounds; the lines of the table."""
    jobs = [(job, job.lines()) for job in all_jobs(args.quick) if not args.jobs or job.name in args.jobs]
    for i in range(max(job.rounds for job, _ in jobs)):
        for job, lines in jobs:
            if i < job.rounds:
                one_round(args, i, job, lines)
                save(args.raw, [line for _, ls in jobs for line in ls])
    return [line for _, lines in jobs for line in lines]


def one_round(args, i, job, lines):
    for line, r in zip(lines, steer_process(args, job), strict=True):
        line.steer.append(r)
    say(f"round {i + 1}, {job.name}: steer {[round(table.median(line.steer[-1:]), 1) for line in lines]} tok/s")
    for config in job.configs:
        if i > 0 and not any(config in line.in_race() for line in lines):
            continue
        for line, r in zip(lines, peer_process(args, job, *config), strict=True):
            line.peers.setdefault(config, []).append(r)
        rates = [round(table.median(line.peers[config][-1:]), 1) for line in lines]
        say(f"    {table.config_name(*config)}: {rates} tok/s")


def say(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def save(path, lines):
    """Raw numbers after every job, so that an interrupted run is not lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = {
        line.name: {"steer": line.steer, "peers": {table.config_name(*c): r for c, r in line.peers.items()}}
        for line in lines
    }
    path.write_text(json.dumps(raw, indent=1))


def report(args, lines):
    versions = next(iter(lines[0].peers.values()))[0]["versions"]
    version = subprocess.run([args.steer, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    quick = " with --quick: one step of tiny sizes, not to be quoted" if args.quick else ""
    sizes = "" if args.quick else " 4 x 256 tokens; prompts of 64 tokens, 64 new ones; PPO 8 prompts, 4 epochs; GRPO 8 x 8; DPO 8 pairs."
    return [
        f"Written by `make bench-peers` on {time.strftime('%Y-%m-%d', time.gmtime())}{quick}.",
        f"{table.cpu()}, {args.threads} threads. {version}, kernels `{lines[0].steer[0]['kernel']}`.",
        ", ".join(f"{k} {v}" for k, v in versions.items()) + f"; `GLIBC_TUNABLES={MALLOC}` unless said.",
        table.machine(lines),
        f"SmolLM2-135M-Instruct, Q4_1 and dequantized; LoRA rank 16 on all linears.{sizes}",
        "",
        *table.jobs(lines),
        *table.kernels(steer(args, "kernels")[0]),
    ]  # fmt: skip


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steer", required=True, type=pathlib.Path)
    p.add_argument("--gguf", required=True, type=pathlib.Path)
    p.add_argument("--model", required=True, type=pathlib.Path, help="folder that convert.py wrote")
    p.add_argument("--into", type=pathlib.Path, help="file with the two marker lines; default: print the tables")
    p.add_argument("--raw", type=pathlib.Path, default=pathlib.Path("build/bench/peers.json"))
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--jobs", nargs="*", help="names of the table's jobs; default: all")
    p.add_argument("--quick", action="store_true", help="one round, one step: to see that everything runs")
    args = p.parse_args()
    known = [j.name for j in all_jobs(True)]
    for name in args.jobs or []:
        if name not in known:
            p.error(f"--jobs: {name!r}: want some of {known}")
    if args.into and (problem := SECTION.missing(args.into)):
        p.error(problem)
    lines = report(args, measure(args))
    print("\n".join(lines))
    if args.into:
        SECTION.write(args.into, lines)


if __name__ == "__main__":
    main()
