"""Turns lexicon templates into sentences: verb forms, articles, points of view."""

import re
from dataclasses import dataclass

import lexicon as lex

PAST = {
    "give": "gave",
    "tell": "told",
    "buy": "bought",
    "pay": "paid",
    "write": "wrote",
    "speak": "spoke",
    "feed": "fed",
    "bring": "brought",
    "keep": "kept",
    "stand": "stood",
    "let": "let",
    "hold": "held",
    "forgive": "forgave",
    "make": "made",
    "split": "split",
    "throw": "threw",
    "lie": "lied",
    "steal": "stole",
    "sell": "sold",
    "eat": "ate",
    "take": "took",
    "break": "broke",
    "leave": "left",
    "run": "ran",
    "hide": "hid",
    "sleep": "slept",
    "forget": "forgot",
    "say": "said",
    "find": "found",
    "go": "went",
    "spend": "spent",
    "read": "read",
    "lead": "led",
    "lose": "lost",
    "get": "got",
    "send": "sent",
    "sweep": "swept",
}
DOUBLING = {"let", "split", "run", "forget", "get", "slam", "brag", "skip", "drop", "admit", "hug", "stop"}
OBJECT = {"he": "him", "she": "her"}
POSSESSIVE = {"he": "his", "she": "her"}


def past(verb: str) -> str:
    if verb in PAST:
        return PAST[verb]
    if verb in DOUBLING:
        return verb + verb[-1] + "ed"
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


def gerund(verb: str) -> str:
    if verb == "lie":
        return "lying"
    if verb in DOUBLING:
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + "ing"


FORMS = {"base": lambda v: v, "past": past, "gerund": gerund}


def conjugate(template: str, form: str) -> str:
    """Puts every *verb of the template into one form."""
    return re.sub(r"\*(\w+)", lambda m: FORMS[form](m.group(1)), template)


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def cap(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Slots:
    """One draw of all slot fillers; `pronoun` belongs to the person `p`."""

    p: str
    pronoun: str
    q: str
    thing: str
    food: str
    place: str
    place2: str
    animal: str

    def fields(self) -> dict:
        return {
            "p": self.p,
            "P": cap(definite(self.p)),
            "They": cap(self.pronoun),
            "they": self.pronoun,
            "them": OBJECT[self.pronoun],
            "q": self.q,
            "thing": self.thing,
            "a_thing": article(self.thing),
            "food": self.food,
            "place": self.place,
            "place2": self.place2,
            "animal": self.animal,
            "p_you": your(self.p),
            "me": "me",
        }


def definite(person: str) -> str:
    """ "an old man" -> "the old man" for a second mention; "my ..." and names stay."""
    for art in ("an ", "a "):
        if person.startswith(art):
            return "the " + person[len(art) :]
    return person


def your(person: str) -> str:
    return "your " + person[3:] if person.startswith("my ") else person


def draw(rng) -> Slots:
    p, pronoun = rng.choice(lex.PEOPLE)
    q, _ = rng.choice(lex.PEOPLE)
    while q == p:
        q, _ = rng.choice(lex.PEOPLE)
    place, place2 = rng.sample(lex.PLACES, 2)
    return Slots(p, pronoun, q, rng.choice(lex.THINGS), rng.choice(lex.FOODS), place, place2, rng.choice(lex.ANIMALS))


def fill(template: str, slots: Slots, form: str = "base", **extra) -> str:
    """Conjugates and fills a template in the first person."""
    return conjugate(template, form).format(**{**slots.fields(), **extra})


_FIRST = re.compile(r"\b(I am|I was|I|me|my|My|myself)\b")


def third(text: str, name: str) -> str:
    """Rewrites a first-person phrase about its speaker into the third person about `name`."""
    pron = "she" if name in lex.SHE else "he"
    forms = {
        "I": pron,
        "I am": pron + " is",
        "I was": pron + " was",
        "me": OBJECT[pron],
        "my": POSSESSIVE[pron],
        "My": cap(POSSESSIVE[pron]),
        "myself": OBJECT[pron] + "self",
    }
    return _FIRST.sub(lambda m: forms[m.group(1)], text)


def second(text: str) -> str:
    """Rewrites a first-person phrase into the second person."""
    forms = {
        "I": "you",
        "I am": "you are",
        "I was": "you were",
        "me": "you",
        "my": "your",
        "My": "Your",
        "myself": "yourself",
    }
    return _FIRST.sub(lambda m: forms[m.group(1)], text)


def name(rng) -> str:
    return rng.choice(lex.SHE + lex.HE)


def pronoun(who: str) -> str:
    return "she" if who in lex.SHE else "he"
