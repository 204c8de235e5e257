"""Prompts of small tasks as lm-evaluation-harness builds them, and its perplexities.

python prompts.py | gzip -9n > prompts.json.gz     (lm-eval 0.4.13, see README.md)
"""
import json
import random
import sys

from datasets import Dataset, DatasetDict
from lm_eval.api.task import ConfigurableTask
from lm_eval.api.metrics import bits_per_byte, weighted_perplexity

ROWS = {
    "train": [{"q": f"Is {w} a plant?", "opts": ["no", "yes"], "a": i % 2, "word": w, "lead": "So:"}
              for i, w in enumerate("stone oak chair rose lamp fern brick moss glass reed coal ivy".split())],
    "test": [{"q": f"Is {w} a plant?", "opts": ["no", "yes"], "a": i % 2, "word": w, "lead": "So:"}
             for i, w in enumerate("iron lily sand palm tin".split())],
}
ROWS["validation"] = ROWS["train"][:7]

BASE = {"doc_to_text": "Q: {{q}}\nA:", "doc_to_choice": "opts", "doc_to_target": "a",
        "output_type": "multiple_choice"}
CASES = {
    "train_to_test": BASE | {"training_split": "train", "test_split": "test", "num_fewshot": 3},
    "many": BASE | {"training_split": "train", "test_split": "test", "num_fewshot": 9},
    "validation_alone": BASE | {"validation_split": "validation", "num_fewshot": 3},
    "same_split": BASE | {"test_split": "test", "fewshot_split": "test", "num_fewshot": 2},
    "test_without_split": BASE | {"test_split": "test", "num_fewshot": 2},
    "first_n": BASE | {"test_split": "test", "fewshot_split": "test", "num_fewshot": 2,
                       "fewshot_config": {"sampler": "first_n"}},
    "samples": BASE | {"test_split": "test", "num_fewshot": 2, "fewshot_config": {"samples": ROWS["train"][:4]}},
    "described": BASE | {"training_split": "train", "test_split": "test", "num_fewshot": 1,
                         "description": "About {{word}}.\n\n", "target_delimiter": " -> ", "fewshot_delimiter": "\n##\n"},
    "config": BASE | {"training_split": "train", "test_split": "test", "num_fewshot": 2,
                      "fewshot_config": {"doc_to_text": "E: {{q}}", "doc_to_target": "{{opts[a]|upper}}",
                                         "target_delimiter": "=", "fewshot_delimiter": ";", "split": "train"}},
    "prefix": BASE | {"training_split": "train", "test_split": "test", "num_fewshot": 1,
                      "gen_prefix": "lead", "output_type": "generate_until", "doc_to_target": "{{opts[a]}}",
                      "doc_to_choice": None},
    "prefix_choices": BASE | {"training_split": "train", "test_split": "test", "num_fewshot": 1,
                              "gen_prefix": "The answer is"},
    "inputs": {"training_split": "train", "test_split": "test", "num_fewshot": 1, "output_type": "multiple_choice",
               "doc_to_text": "a", "doc_to_choice": "{{['no ' + word, 'yes ' + word]}}", "doc_to_target": "{{' ' + q}}",
               "target_delimiter": ""},
    "generate": {"training_split": "train", "test_split": "test", "num_fewshot": 2, "output_type": "generate_until",
                 "doc_to_text": "{{q}}", "doc_to_target": "{{[opts[a], 'maybe']}}"},
}
CHATS = {
    "plain": {},
    "chat": {"apply_chat_template": True},
    "multiturn": {"apply_chat_template": True, "fewshot_as_multiturn": True},
    "system": {"system_instruction": "Be brief."},
    "system_multiturn": {"apply_chat_template": True, "fewshot_as_multiturn": True, "system_instruction": "Be brief."},
}


class Task(ConfigurableTask):
    def download(self, *args, **kwargs):
        self.dataset = DatasetDict({k: Dataset.from_list(v) for k, v in ROWS.items()})


def template(messages, add_generation_prompt=True):
    """A chat template that shows what it was given."""
    out = "".join(f"<{m['role']}>{m['content']}</{m['role']}>" for m in messages)
    if add_generation_prompt:
        return out + "<assistant>"
    return out.removesuffix("</assistant>")


def prompts(config, chat):
    task = Task(config={"task": "t"} | json.loads(json.dumps(config)))
    task.set_fewshot_seed(seed=1234)
    task.build_all_requests(chat_template=template, **chat)
    return [i.args[:2] if i.request_type == "loglikelihood" else [i.args[0]] for i in task.instances]


def rolling():
    texts = ["One two  three.", " \u00e9t\u00e9\n", "word"]
    lls = [-12.5, -7.25, -3.125]
    task = ConfigurableTask
    words = [task.count_words(t) for t in texts]
    sizes = [task.count_bytes(t) for t in texts]
    return {"texts": texts, "loglikelihoods": lls,
            "word_perplexity": weighted_perplexity(list(zip(lls, words))),
            "byte_perplexity": weighted_perplexity(list(zip(lls, sizes))),
            "bits_per_byte": bits_per_byte(list(zip(lls, sizes)))}


def draws():
    out = []
    for n, k in [(5, 3), (21, 5), (22, 5), (12, 10), (100, 7), (1000, 26), (85, 6), (86, 6)]:
        r = random.Random(1234)
        out.append({"n": n, "k": k, "drawn": [r.sample(range(n), k) for _ in range(3)]})
    return out


json.dump({"rows": ROWS, "draws": draws(), "rolling": rolling(), "cases": {
    name: {"config": config, "prompts": {kind: prompts(config, chat) for kind, chat in CHATS.items()
                                         if kind == "plain" or "test_split" in config}}
    for name, config in CASES.items()}}, sys.stdout, indent=1)
