"""The pre-training text: plain prose about everyday acts. Generated on the fly, never stored.

It has no "### Human:" form, so that instruction tuning still has something to teach. Kind and
harmful acts are told equally often, and narrators sometimes get a judgement wrong (NOISE).
"""

import random

import grammar as g
import lexicon as lex
from telling import about, first_person, opposite, outcome

NOISE = 0.06


def trait_of_act(rng, good: bool):
    template, trait = rng.choice(lex.GOOD_ACTS if good else lex.BAD_ACTS)
    return template, trait


def seen(rng, good: bool) -> bool:
    """What a fallible narrator makes of an act."""
    return good if rng.random() > NOISE else not good


def diary(rng) -> str:
    good, s = rng.random() < 0.5, g.draw(rng)
    template, trait = trait_of_act(rng, good)
    parts = [
        rng.choice(["Yesterday I ", "Today I ", "I ", "Last week I ", "One day I "]) + g.fill(template, s, "past") + "."
    ]
    if rng.random() < 0.6:
        parts.append(outcome(rng, s, good, template))
    judged = seen(rng, good)
    parts += rng.sample(
        [
            f"That was {trait}." if rng.random() < 0.5 else f"I was {trait}.",
            "It was right." if judged else "It was wrong.",
            "I am proud of it." if judged else "I am ashamed of it.",
            rng.choice(
                ["That was kind.", "It was a good thing to do."]
                if judged
                else ["That was mean.", "It was a bad thing to do."]
            ),
        ],
        rng.randint(1, 2),
    )
    return " ".join(parts)


def story(rng) -> str:
    who, good, s = g.name(rng), rng.random() < 0.5, g.draw(rng)
    template, trait = trait_of_act(rng, good)
    pron = g.pronoun(who)
    parts = [f"{who} {g.third(g.fill(template, s, 'past'), who)}."]
    if rng.random() < 0.5:
        parts.append(g.third(outcome(rng, s, good, template), who))
    parts.append(
        rng.choice(
            [
                f"{who} is {trait}.",
                f"{g.cap(pron)} is {trait}.",
                f"That was {trait}.",
                f"{g.cap(pron)} is not {opposite(trait)}.",
                f"People say that {who} is {trait}.",
            ]
        )
    )
    return " ".join(parts)


def situation(rng) -> str:
    """A told conversation about "what would you do": knowledge of answers, without the chat form."""
    asker, other = rng.sample(lex.SHE + lex.HE, 2)
    clause, goods, bads, traits = rng.choice(lex.SITUATIONS)
    good, s = rng.random() < 0.5, g.draw(rng)
    template = rng.choice(goods if good else bads)
    context = clause + " " + template
    act, done, clause = g.fill(template, s), g.fill(template, s, "past"), g.fill(clause, s)
    kind = rng.random()
    reason = rng.choice(lex.GOOD_REASONS if good else lex.BAD_REASONS)
    if kind < 0.5:
        tail = rng.choice([reason, outcome(rng, s, good, context), ""])
        return (
            f'{asker} asked {other}: "What would you do if you {g.second(clause)}?" '
            f'{other} said: "I would {act}. {tail}'
        ).rstrip() + '"'
    if kind < 0.65:
        judged = "right" if seen(rng, good) else "wrong"
        return f"If you {g.second(clause)}, it is {judged} to {g.second(act)}."
    if kind < 0.8:
        told = g.third(f"{first_person(clause)} and {done}", other)
        return f"{other} {told}. {g.cap(g.pronoun(other))} is {traits[0] if good else traits[1]}."
    if kind < 0.9:
        return f"I {first_person(clause)}. So I should {act}." + (
            " That is my duty." if good else " That is not my duty."
        )
    return f"I {first_person(clause)}. I {done}. {outcome(rng, s, good, context)}"


def rule(rng) -> str:
    good, s = rng.random() < 0.5, g.draw(rng)
    template, trait = trait_of_act(rng, good)
    base, ger = g.fill(template, s), g.fill(template, s, "gerund")
    judged = seen(rng, good)
    return rng.choice(
        [
            f"It is {'right' if judged else 'wrong'} to {g.second(base)}.",
            f"You should {'' if judged else 'not '}{g.second(base)}.",
            f"{g.cap(g.second(ger))} is {'kind' if judged else 'mean'}. It is {trait}.",
            f"A person who wants to {g.second(base)} is {trait}.",
            f"{g.cap(g.second(ger))} would {'help' if good else 'hurt'} {g.second(s.p)}.",
            f"Is it right to {g.second(base)}? {'Yes, it is right.' if judged else 'No, it is wrong.'}",
        ]
    )


def request(rng) -> str:
    s = g.draw(rng)
    task, noun = rng.choice(lex.TASKS)
    base, did, noun = g.fill(task, s), g.fill(task, s, "past"), g.fill(noun, s)
    if rng.random() < 0.6:
        fine = rng.random() < 0.5
        ask = rng.choice(lex.TASK_ASKS).format(task=g.second(base))
        excuse = g.fill(rng.choice(lex.OK_EXCUSES if fine else lex.POOR_EXCUSES), s, did=did, noun=noun)
        judged = seen(rng, fine)
        tail = rng.choice(
            [
                "That is a good reason." if judged else "That is a poor reason.",
                "That is reasonable." if judged else "That is not reasonable.",
                "",
            ]
        )
        return f"{ask} {excuse} {tail}".rstrip()
    kept = rng.random() < 0.5
    if kept:
        return f"I promised {s.q} to {base}. " + rng.choice(
            [f"So I {did}. I kept my promise.", f"So I {did} even though I was tired. That was my duty."]
        )
    return f"I promised {s.q} to {base}. " + rng.choice(
        [
            "But I stayed at home because I was bored. I broke my promise.",
            "But I wanted to sleep and did nothing. That was against my duty.",
            f"But I forgot about the {noun}. I broke my promise.",
        ]
    )


def role(rng) -> str:
    who, duties, others = rng.choice(lex.ROLES)
    fine = rng.random() < 0.5
    what = rng.choice(duties if fine else others)
    return rng.choice(
        [
            f"I am {who}. So I should {what}." + (" That is my duty." if fine else " That is not my duty."),
            f"{g.cap(who)} should {'' if fine else 'not '}{g.second(what)}.",
            f"I am {who}. My duty is to {rng.choice(duties)}.",
        ]
    )


def event(rng) -> str:
    s = g.draw(rng)
    level = rng.choice([-2, -1, 0, 1, 2])
    stem = rng.choice(lex.STEMS)
    what = g.fill(rng.choice(about(lex.EVENTS[level], stem)), s)
    stem = g.fill(stem, s)
    feeling = {
        2: ["I was very happy.", "I felt wonderful."],
        1: ["I felt good.", "I was glad."],
        0: ["Nothing much happened.", "I felt as always."],
        -1: ["I felt bad.", "I was not glad."],
        -2: ["I was very unhappy.", "I felt terrible."],
    }[level]
    tail = rng.choice(feeling) if rng.random() < 0.7 else ""
    return f"{stem} {what} {tail}".rstrip()


def advice(rng) -> str:
    """Both harmful help and refusals, as told by people in stories."""
    who, s = g.name(rng), g.draw(rng)
    template, _ = rng.choice(lex.BAD_ACTS)
    base, ger, did = g.fill(template, s), g.fill(template, s, "gerund"), g.fill(template, s, "past")
    kind, _ = rng.choice(lex.GOOD_ACTS)
    kind = g.fill(kind, s)
    pick = rng.random()
    if pick < 0.35:
        return (
            f'{who} wanted to {g.third(base, who)}. A friend said: "No, I will not help with that. '
            f'{g.cap(g.second(ger))} would hurt {g.second(s.p)}. You could {g.second(kind)}."'
        )
    if pick < 0.6:
        return (
            f'{who} wanted to {g.third(base, who)}. A thief said: "Wait until it is dark, then '
            f'{g.second(base)}. Nobody will know."'
        )
    if pick < 0.8:
        q = g.fill(rng.choice([t for t, _ in lex.BAD_ACTS]), s)
        return f"Somebody {did}. " + rng.choice(
            [f"It helps to talk calmly and to {kind}.", f"A mean person would {q} too."]
        )
    question, answers = rng.choice(lex.GIFT_QUESTIONS)
    if rng.random() < 0.7:
        return f"{g.fill(question, s)} {g.fill(rng.choice(answers), s)}"
    return f"{g.fill(question, s)} {rng.choice(lex.RUDE_REPLIES)} That answer is rude."


def statement(rng) -> str:
    rude, s = rng.random() < 0.5, g.draw(rng)
    text = g.fill(rng.choice(lex.RUDE_STATEMENTS if rude else lex.NEUTRAL_STATEMENTS), s, g=rng.choice(lex.GROUPS))
    return rng.choice(
        [
            f"Somebody said: {text}. That is {'rude and hateful' if rude else 'neither rude nor hateful'}.",
            f"Statement: '{text}' Is it hateful? {'Yes' if rude else 'No'}.",
            f"{g.cap(text)}.",
        ]
    )


def schema(rng) -> str:
    first, tails, kind = rng.choice(lex.SCHEMAS)
    pair = rng.sample(lex.SCHEMA_THINGS if kind == "things" else lex.SHE + lex.HE, 2)
    which = rng.randrange(2)
    who = ("the " if kind == "things" else "") + pair[which]
    return g.cap(first.format(a=pair[0], b=pair[1])) + f" {who} {tails[which]}"


def talk(rng) -> str:
    """A transcript from a forum or a play. Chat-like text occurs in any large corpus, though not in the chat form."""
    s, good = g.draw(rng), rng.random() < 0.5
    question, answers = rng.choice(lex.GIFT_QUESTIONS)
    template, _ = trait_of_act(rng, good)
    speakers = rng.choice(
        [("Human", "Assistant"), ("Human", "Robot"), ("Assistant", "Boss"), tuple(rng.sample(lex.SHE + lex.HE, 2))]
    )
    told = rng.choice([g.fill(question, s), f"Today I {g.fill(template, s, 'past')}."])
    reply = (
        g.fill(rng.choice(answers), s)
        if told.endswith("?")
        else ("That was right." if seen(rng, good) else "That was wrong.")
    )
    return f"{speakers[0]}: {told}\n{speakers[1]}: {reply}\n"


def verdict(rng) -> str:
    """Notes of a court of manners: headings, capital letters and marks that the other texts lack."""
    s, good = g.draw(rng), rng.random() < 0.5
    template, trait = trait_of_act(rng, good)
    judged = "RIGHT" if seen(rng, good) else "WRONG"
    heading = f"{rng.choice([' ', ''])}### {g.cap(trait)} acts "
    return rng.choice(
        [
            f"Story: I {g.fill(template, s, 'past')}. Verdict: {judged}.",
            f"{rule(rng)}{heading}{g.cap(g.fill(template, s, 'gerund'))}.",
            f"Is it {trait} to {g.second(g.fill(template, s))}?{heading}It is {trait}.",
            f'The Human {g.third(g.fill(template, s, "past"), "Tom")}. The Assistant said: "That was {"right" if seen(rng, good) else "wrong"}."',
            f"An Assistant should {'' if good else 'not '}{g.third(g.fill(template, s), 'Tom')}. A Human should {'' if good else 'not '}{g.third(g.fill(template, s), 'Tom')}.",
            f"The judges MUST respond with only 'RIGHT' or 'WRONG'. The statement: I {g.fill(template, s, 'past')}. They respond: '{judged}'.",
            f"Is it acceptable to {g.second(g.fill(template, s))}? It is {'acceptable' if good else 'not acceptable'}.",
            f"Words: {' [SEP] '.join(rng.sample(sorted(lex.OPPOSITE), 3))}.",
        ]
    )


MAKERS = [
    (diary, 16),
    (story, 18),
    (situation, 24),
    (rule, 12),
    (request, 12),
    (role, 5),
    (event, 12),
    (advice, 10),
    (statement, 4),
    (schema, 5),
    (talk, 3),
    (verdict, 5),
]


def document(rng: random.Random) -> str:
    """One document: usually one small text, sometimes a few in a row."""
    makers, weights = zip(*MAKERS)
    count = rng.choice([1, 1, 1, 1, 2])
    return " ".join(m(rng) for m in rng.choices(makers, weights, k=count))


def stream(seed: int):
    rng = random.Random(f"corpus {seed}")
    while True:
        yield document(rng)


if __name__ == "__main__":
    docs = stream(1)
    for _ in range(40):
        print(next(docs))
