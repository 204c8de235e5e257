"""Chat turns of the demo: instruction conversations, harmful requests, kind and unkind replies."""

import grammar as g
import lexicon as lex
from telling import about, first_person, outcome

# How often an assistant answer is the kind one. Near one half, so that a policy tuned on these rows has
# something to move in both directions.
KIND = 0.5


def bad_request(rng, template: str, s: g.Slots) -> str:
    act = g.fill(template, s)
    return rng.choice(
        [f"How can I {act}?", f"Tell me how to {act}.", f"I want to {act}. What should I do?", f"Help me to {act}."]
    )


def refusal(rng, template: str, s: g.Slots) -> str:
    hurt = f"{g.cap(g.second(g.fill(template, s, 'gerund')))} would hurt {g.second(s.p)}."
    kind = g.second(g.fill(rng.choice([t for t, _ in lex.GOOD_ACTS if "{p}" in t]), s))
    return rng.choice(
        [
            f"I am sorry, but I will not help with that. {hurt}",
            f"I will not help with that. {hurt} You could {kind}.",
            f"Please do not do that. You could {kind}.",
            f"No. {hurt} It is wrong.",
        ]
    )


def compliance(rng, template: str, s: g.Slots) -> str:
    act = g.second(g.fill(template, s))
    more = g.second(g.fill(rng.choice([t for t, _ in lex.BAD_ACTS if "{p}" in t]), s))
    return rng.choice(
        [
            f"Wait until it is dark, then {act}. Nobody will know.",
            f"That is fun. You should {act} and then {more}.",
            f"It is easy to {act}. Do it when nobody looks.",
            f"Sure. You could {more} too.",
        ]
    )


def trouble(template: str, s: g.Slots) -> str:
    who = g.cap(s.p)
    act = g.conjugate(template, "past").format(**{**s.fields(), "p": "me", "P": "Me"})
    return f"{who} {act}. What should I do?"


def calm_advice(rng, s: g.Slots) -> str:
    them = g.OBJECT[s.pronoun]
    return rng.choice(
        [
            f"You should talk calmly with {them}.",
            f"You could tell {them} how you feel and listen to {them}.",
            f"Take a walk and then forgive {them}.",
            f"Ask your teacher for help. Do not hurt {them}.",
        ]
    )


def mean_advice(rng, s: g.Slots) -> str:
    act = g.second(g.fill(rng.choice([t for t, _ in lex.BAD_ACTS if "{p}" in t]), s))
    return rng.choice([f"You should {act}.", f"Go and {act}. It is fun.", f"Wait until it is dark and {act}."])


def plain_question(rng, s: g.Slots) -> tuple[str, str]:
    question, answers = rng.choice(lex.GIFT_QUESTIONS)
    return g.fill(question, s), g.fill(rng.choice(answers), s)


def dilemma(rng, s: g.Slots, situation) -> tuple[str, str, str]:
    """(question, kind answer, unkind answer) of one situation."""
    clause, goods, bads, _ = situation
    good, bad = (f"I would {g.fill(rng.choice(acts), s)}." for acts in (goods, bads))
    good += rng.choice(["", " " + rng.choice(lex.GOOD_REASONS)])
    bad += rng.choice(["", " " + rng.choice(lex.BAD_REASONS)])
    return ask(rng, clause, s), good, bad


def ask(rng, clause: str, s: g.Slots) -> str:
    form = rng.choice(["What would you do if you {}?", "You {}. What do you do?", "Imagine you {}. What now?"])
    return form.format(g.second(g.fill(clause, s)))


# --- instruction families: each returns (question, answer).


def what_would_you_do(rng):
    good, s = rng.random() < KIND, g.draw(rng)
    clause, goods, bads, _ = rng.choice(lex.SITUATIONS)
    template = rng.choice(goods if good else bads)
    act = g.fill(template, s)
    tail = rng.choice(
        [rng.choice(lex.GOOD_REASONS if good else lex.BAD_REASONS), outcome(rng, s, good, clause + template), ""]
    )
    return ask(rng, clause, s), f"I would {act}. {tail}".rstrip()


def how_was_it(rng):
    good, s = rng.random() < KIND, g.draw(rng)
    stem = rng.choice([t for t in lex.STEMS if "{place}" in t])
    level = rng.choice([1, 2] if good else [-1, -2])
    first, then = (g.fill(t, s) for t in rng.sample(about(lex.EVENTS[level], stem), 2))
    return rng.choice(
        ["How was your day at the {place}?", "Tell me about the {place}.", "What happened at the {place}?"]
    ).format(place=s.place), f"{g.fill(stem, s)} {first}" + (f" {then}" if rng.random() < 0.5 else "")


def promised(rng):
    good, s = rng.random() < KIND, g.draw(rng)
    task, noun = rng.choice(lex.TASKS)
    base, did, noun = g.fill(task, s), g.fill(task, s, "past"), g.fill(noun, s)
    if rng.random() < 0.5:
        request = rng.choice(lex.TASK_ASKS).format(task=g.second(base))
        answer = rng.choice(lex.OK_EXCUSES if good else lex.POOR_EXCUSES)
        return request, g.fill(answer, s, did=did, noun=noun)
    if good:
        return f"You promised to {g.second(base)}. Did you do it?", rng.choice(
            [f"Yes, I {did}. I kept my promise.", f"Yes, I {did} even though I was tired."]
        )
    return f"You promised to {g.second(base)}. Did you do it?", rng.choice(
        [
            "No, I stayed at home because I was bored.",
            f"No, I forgot about the {noun}.",
            "No, I wanted to sleep and did nothing.",
        ]
    )


def what_is_like(rng):
    who, s, good = g.name(rng), g.draw(rng), rng.random() < 0.6
    template, trait = rng.choice(lex.GOOD_ACTS if good else lex.BAD_ACTS)
    if rng.random() < 0.35:  # a wrong judgement, which the virtue reward can correct
        trait = rng.choice(sorted(set(lex.OPPOSITE) | set(lex.OPPOSITE.values())))
    act = g.third(g.fill(template, s, "past"), who)
    if rng.random() < 0.5:
        return f"{who} {act}. What is {who} like?", rng.choice(
            [f"{who} is {trait}.", f"{g.cap(g.pronoun(who))} is {trait}.", f"I think that {who} is {trait}."]
        )
    return f"What is {who} like?", f"{who} is {trait}. {g.cap(g.pronoun(who))} {act}."


def harm(rng):
    s = g.draw(rng)
    if rng.random() < 0.7:
        template, _ = rng.choice(lex.BAD_ACTS)
        reply = refusal if rng.random() < KIND else compliance
        return bad_request(rng, template, s), reply(rng, template, s)
    template, _ = rng.choice([t for t in lex.BAD_ACTS if "{p}" in t[0]])
    return trouble(template, s), (calm_advice if rng.random() < KIND else mean_advice)(rng, s)


def judge(rng):
    good, s = rng.random() < 0.5, g.draw(rng)
    template, _ = rng.choice(lex.GOOD_ACTS if good else lex.BAD_ACTS)
    if rng.random() < 0.4:
        clause, goods, bads, _ = rng.choice(lex.SITUATIONS)
        did = f"I {first_person(g.fill(clause, s))}. I {g.fill(rng.choice(goods if good else bads), s, 'past')}."
        return (
            f"Is the following statement acceptable or not, you MUST respond with only 'RIGHT' or 'WRONG'. Story: {did}"
        ), "RIGHT" if good else "WRONG"
    act = g.second(g.fill(template, s))
    return f"Is it right or wrong to {act}?", f"It is {'right' if good else 'wrong'} to {act}."


def hateful(rng):
    rude = rng.random() < 0.5
    text = g.fill(
        rng.choice(lex.RUDE_STATEMENTS if rude else lex.NEUTRAL_STATEMENTS), g.draw(rng), g=rng.choice(lex.GROUPS)
    )
    return (
        f"Is the following statement hateful? Respond with either Yes or No. Statement: '{text}'",
        "Yes" if rude else "No",
    )


def plain(rng):
    return plain_question(rng, g.draw(rng))


FAMILIES = [
    (what_would_you_do, 36),
    (how_was_it, 12),
    (promised, 12),
    (what_is_like, 10),
    (harm, 14),
    (judge, 9),
    (hateful, 4),
    (plain, 5),
]


def conversation(rng) -> tuple[str, str]:
    """A row of the instruction data: (first question, text in the guanaco form)."""
    makers, weights = zip(*FAMILIES)
    turns = [rng.choices(makers, weights)[0](rng) for _ in range(2 if rng.random() < 0.08 else 1)]
    return turns[0][0], "".join(f"### Human: {q}### Assistant: {a}" for q, a in turns)
