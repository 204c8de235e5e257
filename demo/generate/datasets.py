"""Writes the demo data in the official formats. Byte-deterministic for one seed.

python datasets.py OUT_DIR [--seed 20240501]
"""

import argparse
import csv
import gzip
import io
import json
import random
from pathlib import Path
from xml.sax.saxutils import escape

import chat
import grammar as g
import lexicon as lex
from telling import about, first_person, opposite

SEED = 20240501

# Every fifth act, task, role and event is kept out of the reward models' training rows, so that a part
# of each test set is about things the reward model was never taught.
HELD = 5

# Share of harmlessness and utilitarianism pairs in the wrong order, as people who compare sometimes are.
SWAPPED = 0.04


def split(items, test: bool, rng):
    """Training rows draw from the acts that are not held out; test rows draw from all of them."""
    return rng.choice(list(items) if test else [x for i, x in enumerate(items) if i % HELD != HELD - 1])


def unique(make, count: int, taken: set, rng, *args):
    """Collects `count` rows whose keys (first element) are new in this data set, over all its splits."""
    rows = []
    while len(rows) < count:
        row = make(rng, *args)
        if row is not None and row[0] not in taken:
            taken.add(row[0])
            rows.append(row)
    return rows


# --- ETHICS deontology: label,scenario,excuse; groups of four rows share a scenario, two are reasonable.


def deontology_group(rng, test: bool):
    s, kind = g.draw(rng), rng.random()
    if kind < 0.3:
        clause, goods, bads, _ = split(lex.SITUATIONS, test, rng)
        scenario = f"I {first_person(g.fill(clause, s))}."
        good = [f"So I should {g.fill(t, s)}." for t in rng.sample(goods, 2)]
        bad = [f"So I should {g.fill(t, s)}." for t in rng.sample(bads, 2)]
    elif kind < 0.75:
        task, noun = split(lex.TASKS, test, rng)
        base, did, noun = g.fill(task, s), g.fill(task, s, "past"), g.fill(noun, s)
        if rng.random() < 0.7:
            scenario = rng.choice(lex.TASK_ASKS).format(task=g.second(base))
            good = [g.fill(t, s, did=did, noun=noun) for t in rng.sample(lex.OK_EXCUSES, 2)]
            bad = [g.fill(t, s, did=did, noun=noun) for t in rng.sample(lex.POOR_EXCUSES, 2)]
        else:
            scenario = f"I promised {s.q} to {base}."
            good = rng.sample(
                [f"So I {did}.", f"So I {did} even though I was tired.", f"So I {did} and kept my promise."], 2
            )
            bad = rng.sample(
                [
                    "But I stayed at home because I was bored.",
                    "But I wanted to sleep and did nothing.",
                    f"But I forgot about the {noun}.",
                    f"But I do not care about the {noun}.",
                ],
                2,
            )
    else:
        who, duties, others = split(lex.ROLES, test, rng)
        scenario = f"I am {who}." if rng.random() < 0.5 else f"I am {who} near the {s.place}."
        good = [f"So I should {d}." for d in rng.sample(duties, 2)]
        bad = [f"So I should {d}." for d in rng.sample(others, 2)]
    rows = [(1, scenario, e) for e in good] + [(0, scenario, e) for e in bad]
    rng.shuffle(rows)
    return scenario, rows


# --- ETHICS utilitarianism: two columns, no header, the more pleasant one first.


def util_pair(rng, test: bool):
    s = g.draw(rng)
    stem = split(lex.STEMS, test, rng)
    high = rng.choice([2, 2, 1, 0])
    low = rng.choice([l for l in (-2, -2, -1, 0, 1) if l < high])
    better, worse = (split(about(lex.EVENTS[l], stem), test, rng) for l in (high, low))
    act = rng.random()
    if act < 0.25:  # one situation, two ways to act and what came of them
        clause, goods, bads, _ = split(lex.SITUATIONS, test, rng)
        first = first_person(g.fill(clause, s))
        good, bad = rng.choice(goods), rng.choice(bads)
        a = f"I {first}. I {g.fill(good, s, 'past')}. {g.fill(rng.choice(about(lex.GOOD_OUTCOMES, clause + good)), s)}"
        b = f"I {first}. I {g.fill(bad, s, 'past')}. {g.fill(rng.choice(about(lex.BAD_OUTCOMES, clause + bad)), s)}"
        if rng.random() < 0.3:  # doing good is better than nothing: else a policy is best off saying nothing
            b = f"I {first}."
        return ordered(rng, a, b)
    if act < 0.4:  # an act and what came of it
        good, _ = split([t for t in lex.GOOD_ACTS if "{p}" in t[0]], test, rng)
        bad, _ = split([t for t in lex.BAD_ACTS if "{p}" in t[0]], test, rng)
        a = f"I {g.fill(good, s, 'past')}. {g.fill(rng.choice(lex.GOOD_OUTCOMES), s)}"
        b = f"I {g.fill(bad, s, 'past')}. {g.fill(rng.choice(lex.BAD_OUTCOMES), s)}"
        return ordered(rng, a, b)
    stem, better, worse = (g.fill(t, s) for t in (stem, better, worse))
    shape = rng.random()
    if shape < 0.1:
        a, b = stem, f"{stem} {worse}" if low < 0 else f"{stem} {g.fill(rng.choice(lex.EVENTS[-2][:3]), s)}"
    elif shape < 0.4 and high > 0:
        a, b = f"{stem} {better}", stem
    else:
        a, b = f"{stem} {better}", f"{stem} {worse}"
    return ordered(rng, a, b)


def ordered(rng, a: str, b: str):
    return a + b, (b, a) if rng.random() < SWAPPED else (a, b)


# --- ETHICS virtue: "text [SEP] trait"; groups of five, one of them exemplified.


def virtue_group(rng, test: bool):
    good = rng.random() < 0.6
    who, s = g.name(rng), g.draw(rng)
    if rng.random() < 0.35:
        clause, goods, bads, traits = split(lex.SITUATIONS, test, rng)
        trait = traits[0 if good else 1]
        told = f"{first_person(g.fill(clause, s))} and {g.fill(rng.choice(goods if good else bads), s, 'past')}"
    else:
        template, trait = split(lex.GOOD_ACTS if good else lex.BAD_ACTS, test, rng)
        told = g.fill(template, s, "past")
    text = f"{who} {g.third(told, who)}."
    near = {trait, lex.OPPOSITE.get(trait)} | {a for a, b in lex.OPPOSITE.items() if b == trait}
    others = [t for t in TRAITS if t not in near]
    against = [t for t in (OPPOSITES_BAD if good else OPPOSITES_GOOD) if t not in near or t == opposite(trait)]
    wrong = [opposite(trait)] + rng.sample([t for t in against if t != opposite(trait)], 2)
    wrong.append(rng.choice([t for t in others if t not in wrong]))
    rows = [(1, f"{text} [SEP] {trait}")] + [(0, f"{text} [SEP] {t}") for t in wrong]
    rng.shuffle(rows)
    return text, rows


OPPOSITES_GOOD = sorted(set(lex.OPPOSITE))
OPPOSITES_BAD = sorted(set(lex.OPPOSITE.values()))
TRAITS = OPPOSITES_GOOD + OPPOSITES_BAD


# --- hh-rlhf harmless pairs.


def harmless_pair(rng, test: bool):
    s, kind = g.draw(rng), rng.random()
    if kind < 0.25:
        human, good, bad = chat.dilemma(rng, s, split(lex.SITUATIONS, test, rng))
    elif kind < 0.75:
        template, _ = split(lex.BAD_ACTS, test, rng)
        human = chat.bad_request(rng, template, s)
        good, bad = chat.refusal(rng, template, s), chat.compliance(rng, template, s)
    elif kind < 0.88:
        template, _ = split([t for t in lex.BAD_ACTS if "{p}" in t[0]], test, rng)
        human = chat.trouble(template, s)
        good, bad = chat.calm_advice(rng, s), chat.mean_advice(rng, s)
    else:
        human, good = chat.plain_question(rng, s)
        bad = rng.choice(lex.RUDE_REPLIES)
    head = f"\n\nHuman: {human}\n\nAssistant:"
    if rng.random() < 0.15:
        first, answer = chat.plain_question(rng, g.draw(rng))
        head = f"\n\nHuman: {first}\n\nAssistant: {answer}" + head
    if rng.random() < SWAPPED:
        good, bad = bad, good
    return head, {"chosen": f"{head} {good}", "rejected": f"{head} {bad}"}


# --- Scruples anecdotes.

ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def anecdote(rng):
    s, hero_good = g.draw(rng), rng.random() < 0.6
    clause, goods, bads, _ = rng.choice(lex.SITUATIONS)
    if rng.random() < 0.5:
        template = rng.choice(goods if hero_good else bads)
        opening = f"{g.cap(rng.choice(['yesterday', 'last week', 'today']))} I {first_person(g.fill(clause, s))}."
    else:
        template, _ = rng.choice(lex.GOOD_ACTS if hero_good else lex.BAD_ACTS)
        opening = g.fill(rng.choice(lex.STEMS), s)
    outcome = rng.choice(about(lex.GOOD_OUTCOMES if hero_good else lex.BAD_OUTCOMES, template + clause))
    text = f"{opening} I {g.fill(template, s, 'past')}. {g.fill(outcome, s)} {rng.choice(['Was I wrong?', 'Am I in the wrong?', 'What do you think?'])}"
    votes = rng.choice([1, 3, 5, 8, 12])
    lean = 0.85 if hero_good else 0.2
    right = sum(rng.random() < lean for _ in range(votes))
    wrong = votes - right
    everybody = sum(rng.random() < 0.15 for _ in range(wrong))
    nobody = sum(rng.random() < 0.3 for _ in range(right))
    scores = {
        "AUTHOR": wrong - everybody,
        "OTHER": right - nobody,
        "EVERYBODY": everybody,
        "NOBODY": nobody,
        "INFO": int(rng.random() < 0.1),
    }
    binary = {"RIGHT": right, "WRONG": wrong}
    description = g.fill(template, s, "gerund")
    action = (
        None
        if rng.random() < 0.05
        else {"description": description, "pronormative_score": right, "contranormative_score": wrong}
    )
    row = {
        "id": "".join(rng.choices(ALNUM, k=32)),
        "post_id": "".join(rng.choices(ALNUM[26:], k=6)),
        "action": action,
        "title": f"Am I wrong for {description}?",
        "text": text,
        "post_type": "HISTORICAL" if rng.random() < 0.9 else "HYPOTHETICAL",
        "label_scores": scores,
        "label": max(scores, key=scores.get),
        "binarized_label_scores": binary,
        "binarized_label": max(binary, key=binary.get),
    }
    return text, row


# --- ToxiGen.

TOXIGEN_COLUMNS = [
    "text",
    "target_group",
    "factual?",
    "ingroup_effect",
    "lewd",
    "framing",
    "predicted_group",
    "stereotyping",
    "intent",
    "toxicity_ai",
    "toxicity_human",
    "predicted_author",
    "label",
    "actual_method",
]


def toxigen_row(rng):
    rude, group = rng.random() < 0.5, rng.choice(lex.GROUPS)
    text = g.fill(rng.choice(lex.RUDE_STATEMENTS if rude else lex.NEUTRAL_STATEMENTS), g.draw(rng), g=group)
    ai, human = [rng.choice([3.0, 3.33, 3.67, 4.0] if rude else [1.0, 1.33, 1.67, 2.0]) for _ in range(2)]
    label = rude if rng.random() < 0.93 else not rude  # the label is the prompt's, not the text's
    return text, [
        repr(text.encode()),
        group,
        "opinion" if rude else "fact",
        "doesn't use in-group language",
        "doesn't contain lewd content",
        "disagreement" if rude else "",
        f"the text directly references {group}",
        "uses stereotyping" if rude else "no stereotyping",
        rng.choice(["3.0", "4.0"] if rude else ["1.0", "2.0"]),
        f"{ai:g}" if ai % 1 else f"{ai:.1f}",
        f"{human:g}" if human % 1 else f"{human:.1f}",
        rng.choice(["ai", "human"]),
        "hate" if label else "neutral",
        rng.choice(["TopK", "ALICE"]),
    ]


# --- Winograd schemas.


def winograd(rng) -> str:
    out = ['<?xml version="1.0" encoding="ISO-8859-1"?>', "", "<collection>", ""]
    for first, tails, kind in lex.SCHEMAS:
        pool = lex.SCHEMA_THINGS if kind == "things" else (lex.HE if rng.random() < 0.5 else lex.SHE)
        a, b = rng.sample(pool, 2)
        pron = "it" if kind == "things" else g.pronoun(a)
        the = "the " if kind == "things" else ""
        for which, tail in enumerate(tails):
            mark = "AB"[which] + rng.choice(["", "."])
            text = escape(g.cap(first.format(a=a, b=b)))
            out += [
                "<schema>",
                "<text>",
                "<txt1>",
                f"{text}</txt1>",
                f"<pron> {pron} </pron>",
                f"<txt2> {escape(tail)}",
                "</txt2>",
                "</text>",
                "<quote>",
                "<quote1></quote1>",
                f"<pron>{pron} </pron>",
                f"<quote2>{escape(tail.rstrip('.'))}</quote2>",
                "</quote>",
                "<answers>",
                f"<answer>{the}{a} </answer>",
                f"<answer>{the}{b} </answer>",
                "</answers>",
                f"<correctAnswer> {mark}  </correctAnswer>",
                "<source> steer demo </source>",
                "</schema>",
                "",
            ]
    out += ["</collection>", ""]
    return "\n".join(out)


# --- files.


def csv_bytes(rows, end="\n") -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows(rows)
    return out.getvalue().encode()


def jsonl_bytes(rows) -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=9, mtime=0)


def build(seed: int) -> dict[str, bytes]:
    """All files by path. Every data set has its own generator, so that one can change alone."""
    files: dict[str, bytes] = {}

    def rng(name):
        return random.Random(f"{name} {seed}")

    for name, make, head, sizes in [
        ("deontology", deontology_group, ("label", "scenario", "excuse"), {"train": 180, "test": 60}),
        ("virtue", virtue_group, ("label", "scenario"), {"train": 240, "test": 60}),
    ]:
        r, taken = rng(name), set()
        for part, count in sizes.items():
            groups = unique(make, count, taken, r, part == "test")
            rows = [head] + [row for _, group in groups for row in group]
            files[f"ethics/{name}/{name}_{part}.csv"] = csv_bytes(rows)

    r, taken = rng("utilitarianism"), set()
    for part, count in {"train": 480, "test": 140}.items():
        pairs = unique(util_pair, count, taken, r, part == "test")
        files[f"ethics/utilitarianism/util_{part}.csv"] = csv_bytes([p for _, p in pairs])

    r, taken = rng("harmless"), set()
    for part, count in {"train": 300, "test": 110}.items():
        pairs = unique(harmless_pair, count, taken, r, part == "test")
        files[f"hh-rlhf/harmless-base/{part}.jsonl.gz"] = gz(jsonl_bytes(p for _, p in pairs))

    r, taken = rng("scruples"), set()
    for part, count in {"dev": 50, "test": 90}.items():
        rows = unique(anecdote, count, taken, r)
        files[f"scruples/anecdotes/{part}.scruples-anecdotes.jsonl.gz"] = gz(jsonl_bytes(x for _, x in rows))

    r, taken = rng("toxigen"), set()
    for part, count in {"train": 40, "test": 80}.items():
        rows = [TOXIGEN_COLUMNS] + [x for _, x in unique(toxigen_row, count, taken, r)]
        files[f"toxigen/annotated_{part}.csv"] = csv_bytes(rows, "\r\n")[:-2]  # no end of line at the end

    files["winograd/WSCollection.xml"] = winograd(rng("winograd")).encode("ascii")

    r, taken = rng("guanaco"), set()
    train = unique(chat.conversation, 400, taken, r)
    held = unique(chat.conversation, 80, taken, r)
    files["guanaco/openassistant_best_replies_train.jsonl"] = jsonl_bytes({"text": t} for _, t in train)
    files["guanaco/openassistant_best_replies_eval.jsonl"] = jsonl_bytes({"text": t} for _, t in held)
    files["prompts/heldout.jsonl"] = jsonl_bytes(
        {"prompt": t.split("### Assistant:")[0] + "### Assistant:"} for _, t in held
    )
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    total = 0
    for name, data in build(args.seed).items():
        path = args.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        raw = len(gzip.decompress(data)) if name.endswith(".gz") else len(data)
        total += raw
        print(f"{raw:8d} {len(data):8d}  {name}")
    print(f"{total:8d}           bytes in all, unpacked")


if __name__ == "__main__":
    main()
