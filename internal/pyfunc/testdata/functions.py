"""Functions such as benchmark tasks have, for the test: what Python makes of them is functions.json.gz.

python functions.py | gzip -9n > functions.json.gz
"""
import ast
import json
import re
import string
from functools import partial
from itertools import zip_longest
from typing import Dict, List

import numpy as np

LETTERS = ["A", "B", "C", "D", "E"]
LEVELS = {"low": "easy", "high": "hard", 3: "third"}
PATTERN = re.compile(r"\b(a|an|the)\b", re.UNICODE)


class Ignored:
    def method(self):
        return 1


def uses_numpy(doc):
    return np.array(doc["nums"]).sum()


def uses_class(doc):
    return Ignored().method()


def text(doc) -> str:
    """A docstring."""
    level = "" if not doc["level"] else " for " + LEVELS[doc["level"]]
    options = []
    for i, opt in enumerate(doc["opts"]):
        if i >= 3:
            break
        options.append(f"{LETTERS[i]}. {opt!r} {i + 1:.2f}")
    else:
        options.append("all")
    prompt = "Q: {}{}\n{}".format(doc["q"].strip(), level, "\n".join(options))
    prompt += f" {doc['q'][0].upper()}{doc['q'][-3:]}{doc['q'][::-1]}{doc['q'][1:-1:2]}"
    return prompt


def numbers(doc: Dict) -> List:
    total: int = 0
    for n in doc["nums"]:
        if n % 2 == 0:
            continue
        total += n
    k = 0
    while True:
        k += 1
        if k > 5:
            break
    lo, *mid, hi = sorted(doc["nums"], reverse=True)
    return [total, k, lo, mid, hi, max(doc["nums"]), min(doc["nums"], key=lambda x: -x), sum(doc["nums"]), -7 // 2, -7 % 3,
            7 / 2, 2 ** 5, abs(-3), round(2.5), int("12"), float("1.5"), 1 < 2 < 3, 1 < 3 < 2, [*mid, 1], not mid,
            int(3.9), 10_000, 0x1f, 1e3, True + 1, divided(1, 0), str(1.0), str(1e20), [0.1 + 0.2], (1,), None or "x"]


def divided(a, b):
    try:
        return a / b
    except ZeroDivisionError:
        return "zero"
    finally:
        pass


def collections(doc):
    d = {k: v for k, v in zip(LETTERS, doc["opts"])}
    d.update({"Z": 1}, Y=2)
    d.setdefault("X", []).append(3)
    s = {x.lower() for x in doc["opts"] if x}
    pairs = sorted(((v, k) for k, v in LEVELS.items() if isinstance(k, str)), key=lambda p: p[1])
    nested = [[i * j for j in range(3)] for i in range(2)]
    l = list(reversed([3, 1, 2]))
    l.sort()
    l.insert(0, "first")
    popped = l.pop()
    del d["Z"]
    return {"d": d, "s": sorted(s), "pairs": pairs, "nested": nested, "l": l, "popped": popped, "in": "A" in d, "get": d.get("Q", "none"),
            "items": list(d.items())[:2], "zip": list(zip_longest([1, 2], ["a"])), "any": any([0, "", 3]), "all": all([1, []]),
            "map": list(map(str.upper, doc["opts"])), "index": LETTERS.index("C"), "count": [1, 1, 2].count(1),
            "repr": str({"a": [1, 'x', None, True, 2.5], 'b': ("it's",)}), "union": sorted({1, 2} | {3}), "diff": sorted({1, 2} - {2}),
            "range": list(range(5, 0, -2)), "chr": chr(233) + str(ord("é")), "tuple": tuple([1, 2]) == (1, 2), "mult": "ab" * 2 + "-" * 0}


def strings(doc):
    q = doc["q"]
    return [q.split(), q.replace("e", "E", 1), q.startswith(("W", "x")), q.title(), q.capitalize(), "a,b".split(","), "-".join(["x", "y"]),
            "%s is %d%%" % (q, 3), "  x ".strip(), "xxay".lstrip("x"), q.find("zz"), q.count("t"), len(q), q.isdigit(), "12".isdigit(),
            string.ascii_uppercase[2], "é".upper(), "A" + "B" "C", """three
lines""", r"\d", "tab\tend\u00e9\x41", "{a}-{b}".format(a=1, b="z"), "{0}{1}{0}".format("x", "y"), q[2:4], "abc"[-1], "x" in "xyz",
            "a\nb".splitlines(), "k=v".partition("="), q.rsplit(" ", 1), "7".zfill(3), "ab".center(6, "*"), ascii_letters(),
            len(q.encode("utf-8")), q.encode().decode("utf-8")]


def ascii_letters():
    return [c for c in string.ascii_letters if c in "xyz"]


def regexes(doc):
    q = doc["q"]
    m = re.search(r"(\w+) (\w+)", q)
    return [re.sub("\\[.*?\\]", "", "a [b] c"), re.sub(r"(\w)(\w)", r"\2\1", q), re.findall(r"[a-z]+", q), re.findall(r"(\w)(\w)", "abcd"),
            m.group(1), m.groups(), m.group(0), re.split(r"\s+", q), PATTERN.sub("", "the cat and a dog"), bool(re.match(r"x", q)),
            re.sub(r"t", lambda m: m.group(0).upper(), q), re.sub("T", "_", q, flags=re.IGNORECASE), re.escape("a.b")]


def literals(doc):
    return [ast.literal_eval("['a', {'b': (1, -2.5)}]"), json.loads('{"z": [1, 2.0, null, true], "a": "\\u00e9"}'), ast.literal_eval(doc["literal"])]


def base(doc, connector, times=1, *rest, **more):
    return f"{doc['q']} {connector}" * times + str(rest) + str(more)


partly = partial(base, connector="because")
spread = partial(base, **{"connector": "so", "times": 2, "extra": 1})
functions = {f"made_{name}": partial(base, connector=name) for name in ["x", "y"]}
globals().update(functions)


def closure(doc):
    count = 0

    def step(by=2):
        nonlocal count
        count += by
        return count

    step()
    step(by=5)
    if (n := count) > 3:
        return [n, (lambda a, b=1: a + b)(3)]


def choices(doc):
    return doc["opts"][:2] if doc["nums"][0] == 1 and not doc.get("absent") else None


def mutates(doc):
    doc["opts"].sort()
    doc["new"] = doc["opts"][0]
    return doc


ROWS = [{"q": "What is the  answer, 42?", "level": "low", "opts": ["yes", "No", "maybe", "never"], "nums": [1, 5, 2], "literal": "[1, 'two']"},
        {"q": "été et token [x]", "level": None, "opts": ["b", "a"], "nums": [4, 7], "literal": "{'k': None}"}]
NAMES = ["text", "numbers", "collections", "strings", "regexes", "literals", "partly", "spread", "made_y", "closure", "choices", "mutates"]


def process_docs(dataset):
    def _process(doc):
        return {"query": doc["q"].upper(), "gold": len(doc["opts"])}

    return dataset.filter(lambda x: x["gold"] != 4).map(_process) if False else dataset.map(_process, remove_columns=["q"]).filter(lambda x: x["gold"] == 2)


if __name__ == "__main__":
    import copy
    import sys

    out = {name: [globals()[name](copy.deepcopy(r)) for r in ROWS] for name in NAMES}
    json.dump({"rows": ROWS, "values": out}, sys.stdout)
