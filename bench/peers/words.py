"""Texts of so many tokens: trl's trainers of preferences and groups take text, not tokens."""

import random


class Words:
    """Words that are one token each, wherever they stand."""

    def __init__(self, tokenizer):
        vocabulary = [t for t in tokenizer.get_vocab() if t.startswith("Ġ") and t[1:].isascii() and t[1:].isalpha()]
        self.words = [t[1:] for t in sorted(vocabulary)]
        self.tokenizer, self.random = tokenizer, random.Random(0)

    def text(self, tokens):
        """A text of so many tokens, a space before each word."""
        text = "".join(" " + word for word in self.random.choices(self.words, k=tokens))
        if (n := len(self.tokenizer(text, add_special_tokens=False)["input_ids"])) != tokens:
            raise SystemExit(f"a text of {tokens} words has {n} tokens")
        return text
