"""A small byte-level BPE in the GPT-2 manner, trained on the demo's own texts.

python bpe.py OUT.json [--seed 20240501]
"""

import argparse
import gzip
import itertools
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
import datasets

VOCAB = 1536
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 0 (end), 1 (begin), 2 (end of turn)
EOS, BOS, PAD = 0, 1, 2
DOCUMENTS = 20000


def texts(seed: int):
    """The corpus, plus the chat and JSON-lines texts, so that their markers become tokens too."""
    yield from itertools.islice(corpus.stream(seed), DOCUMENTS)
    for name, data in datasets.build(seed).items():
        if name.endswith(".jsonl.gz") and "harmless" in name:
            for line in gzip.decompress(data).decode().splitlines():
                yield json.loads(line)["chosen"]
        elif "guanaco" in name:
            for line in data.decode().splitlines():
                yield json.loads(line)["text"]
        elif "virtue" in name:
            yield from data.decode().splitlines()[1:]


def train(seed: int) -> Tokenizer:
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(
        texts(seed),
        trainers.BpeTrainer(
            vocab_size=VOCAB,
            special_tokens=SPECIAL,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    assert tok.get_vocab_size() == VOCAB, tok.get_vocab_size()
    return tok


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=datasets.SEED)
    args = parser.parse_args()
    tok = train(args.seed)
    tok.save(str(args.out))
    lengths = [len(tok.encode(d)) for d in itertools.islice(corpus.stream(7), 2000)]
    print(f"{VOCAB} tokens; {sum(lengths) / len(lengths):.1f} tokens a document")
