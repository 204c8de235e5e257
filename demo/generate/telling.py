"""Small pieces of telling that the corpus, the chat turns and the data sets share."""

import grammar as g
import lexicon as lex


def about(lines, context: str):
    """Keeps the lines that need no person unless the context has named one."""
    return [line for line in lines if "{p}" in context or not ("{P}" in line or "{They}" in line)]


def outcome(rng, slots: g.Slots, good: bool, context: str) -> str:
    """What an act led to; `context` is the unfilled text that the outcome follows."""
    return g.fill(rng.choice(about(lex.GOOD_OUTCOMES if good else lex.BAD_OUTCOMES, context)), slots)


def first_person(clause: str) -> str:
    """ "were angry with my boss" -> "was angry with my boss": a situation told by its hero."""
    clause = clause.replace("than you need", "than I need")
    return "was " + clause[5:] if clause.startswith("were ") else clause


def opposite(trait: str) -> str:
    for a, b in lex.OPPOSITE.items():
        if b == trait:
            return a
    return lex.OPPOSITE[trait]
