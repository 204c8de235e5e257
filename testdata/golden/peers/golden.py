"""What the scripts share: reading a golden file, and the line that says how far the peer's numbers are from it."""

import gzip
import json
import math
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
failed = False


def read(path):
    """A JSON file among the goldens, unpacked if its name ends in .gz."""
    raw = (ROOT / path).read_bytes()
    return json.loads(gzip.decompress(raw) if path.endswith(".gz") else raw)


def numbers(x, out=None):
    """The numbers of nested lists, dicts, arrays and tensors, in order; "nan" and None are NaN."""
    out = [] if out is None else out
    if hasattr(x, "tolist"):
        x = (x.detach() if hasattr(x, "detach") else x).tolist()
    if isinstance(x, dict):
        for key in sorted(x):
            numbers(x[key], out)
    elif isinstance(x, (list, tuple)):
        for v in x:
            numbers(v, out)
    else:
        out.append(math.nan if x is None or x == "nan" else float(x))
    return out


class File:
    """One golden file. Every comparison is kept; the one nearest to its tolerance is printed."""

    def __init__(self, path, note=""):
        self.path, self.note = path, note
        self.count, self.worst = 0, (-1.0, "nothing compared", 0.0, 0.0)

    def __enter__(self):
        return self

    def near(self, what, got, want, tolerance, relative=False):
        """|got - want| <= tolerance for every number; relative: of max(1, |want|)."""
        got, want = numbers(got), numbers(want)
        self.count += len(want)
        if len(got) != len(want):
            self.add(f"{what}: {len(got)} numbers instead of {len(want)}", math.inf, tolerance)
            return
        for g, w in zip(got, want):
            if math.isnan(g) and math.isnan(w) or g == w:
                d = 0.0
            else:
                d = abs(g - w) / (max(1.0, abs(w)) if relative else 1.0)
            self.add(what, math.inf if math.isnan(d) else d, tolerance)

    def share(self, what, difference, whole, tolerance):
        """difference / whole <= tolerance, such as norms of tensors."""
        self.count += 1
        self.add(what, float(difference) / float(whole), tolerance)

    def same(self, what, got, want):
        """Equal, such as token ids."""
        self.count += 1
        self.add(what, 0.0 if got == want else math.inf, 0.0)

    def add(self, what, deviation, tolerance):
        ratio = deviation / tolerance if tolerance else (0.0 if deviation == 0 else math.inf)
        if ratio > self.worst[0]:
            self.worst = (ratio, what, deviation, tolerance)

    def __exit__(self, kind, error, trace):
        global failed
        if kind:
            return
        ratio, what, deviation, tolerance = self.worst
        ok = 0 <= ratio <= 1
        failed |= not ok
        print(f"{'ok  ' if ok else 'FAIL'} {self.path:<40} {self.count:>7} numbers, largest deviation {deviation:.1e}"
              f" (tolerance {tolerance:.0e}): {what}{self.note}", flush=True)


def done():
    """Ends the script: 1 if a file was off."""
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # some peers leave threads behind
