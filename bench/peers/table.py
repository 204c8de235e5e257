"""The tables that run.py writes."""

import pathlib
import statistics


def median(results):
    """Of the rates of all steps of some processes."""
    return statistics.median(x for r in results for x in r["rate"])


def config_name(dtype, tuned):
    return dtype + ("" if tuned else ", default malloc")


class Race:
    """All measurements of one line of the table: processes of steer, and of the peers by configuration."""

    def __init__(self, name, aim, unit="rate"):
        self.name, self.aim, self.unit, self.steer, self.peers = name, aim, unit, [], {}

    def in_race(self):
        """Configurations that are not a tenth slower than the best."""
        best = max(median(r) for r in self.peers.values())
        return {c for c, r in self.peers.items() if median(r) >= 0.9 * best}

    def best(self):
        return max(self.peers, key=lambda c: median(self.peers[c]))

    def ratios(self):
        """steer over the best peer, round by round."""
        return [median([s]) / median([p]) for s, p in zip(self.steer, self.peers[self.best()], strict=False)]


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def spread(values):
    values = list(values)
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"


def peak_rss(results):
    return max(r["peak_rss"] for r in results)


def row(line):
    best = line.best()
    peers = line.peers[best]
    least = min(peak_rss(r) for r in line.peers.values())
    steer_rss, peer_rss = peak_rss(line.steer), peak_rss(peers)
    cells = [
        line.name + (" (s)" if line.unit == "seconds" else ""),
        *(spread(x for r in results for x in r[line.unit]) for results in (line.steer, peers)),
        config_name(*best),
        f"**{spread(line.ratios())}**",
        line.aim,
        f"{steer_rss / 1e9:.2f}",
        f"{peer_rss / 1e9:.2f} ({least / 1e9:.2f})",
        f"{peer_rss / steer_rss:.1f} ({least / steer_rss:.1f})",
        f"{statistics.median(r['share'] for r in line.steer):.0%}",
        " / ".join(str(sum(len(r["rate"]) for r in results)) for results in (line.steer, peers)),
    ]
    return markdown(cells)


def markdown(cells):
    return "| " + " | ".join(cells) + " |"


HEAD = [
    "job", "steer", "best peer", "its configuration", "ratio", "aim", "steer GB", "peer GB (least of any)",
    "GB ratio", "steer's share of peak", "n",
]  # fmt: skip

LEGEND = """
tok/s, median (min-max) over all measured steps; n: steps of steer / of that peer. Ratio: of medians round by round.
GB: peak resident memory of the process; in brackets the smallest of any peer configuration. Aim: of the ratio, and of
the ratio of memory. Sampling: decoding alone."""


def jobs(lines):
    out = [markdown(HEAD), "|" + "---|" * len(HEAD), *(row(line) for line in lines), *LEGEND.splitlines()]
    prompts = [f"{line.name.split(', ')[1]} {both(line)}" for line in lines if line.steer[0].get("prefill")]
    if prompts:
        out.append(f"Prompts read before, tok/s: {'; '.join(prompts)}.")
    return out


def both(line):
    steer, peer = (
        spread(x for r in results for x in r["prefill"]) for results in (line.steer, line.peers[line.best()])
    )
    return f"{steer} against {peer}"


def kernels(result):
    """The frozen linear layers alone."""
    peak, f32 = result["peak_bf16_gflops"], result["peak_f32_gflops"]
    if result["kernel"] != "avx512bf16":
        peak = f32
    out = [
        "",
        f"Frozen linear layers alone, {result['spec']['tokens']} rows: GFLOP/s, and share of the {peak:.0f} that a",
        f"loop in registers reaches on these threads (in f32: {f32:.0f}):",
        "",
        "| weights | type | n_in x n_out | forward | backward |",
        "|---|---|---|---|---|",
    ]
    for x in result["linears"]:
        rates = [f"{g:.0f} ({g / peak:.0%})" for g in (x["forward_gflops"], x["backward_gflops"])]
        out.append(markdown([", ".join(x["targets"]), x["type"], f"{x['n_in']} x {x['n_out']}", *rates]))
    return out


def machine(lines):
    """Who else was busy while the processes ran."""
    loads = [r["load"] for line in lines for rs in [line.steer, *line.peers.values()] for r in rs]
    others, steal = ([x[key] for x in loads] for key in ("others", "steal"))
    return (
        f"While a process ran, others took {statistics.median(others):.0%} of the machine (at most {max(others):.0%}), "
        f"the hypervisor {statistics.median(steal):.0%} (at most {max(steal):.0%})."
    )


def cpu():
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    bf16 = "AVX512 with BF16" if "avx512_bf16" in fields.get("flags", "") else "no AVX512-BF16"
    return f"{fields.get('model name')} (family {fields.get('cpu family')}, model {fields.get('model')}, {bf16})"
