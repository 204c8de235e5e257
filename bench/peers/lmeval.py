"""Scruples anecdotes, label log-likelihood, by lm-evaluation-harness on the CPU.

    lmeval.py --model folder --dtype bf16 --batch 8 --items items.jsonl --limit 60

A line of items.jsonl is an item: prompt, and the number of the right choice, gold. What is timed is the scoring of
all requests, tokenization included; imports, loading the model and building the task are not.
"""

import importlib.metadata

import datasets
from common import DTYPES, answer, arguments, reset_peak, timed
from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

TASK = "scruples_label"

args = arguments(batch=8, items="", limit=60)
datasets.disable_progress_bars()
task = ConfigurableTask(
    config={
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": args.items}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "gold",
        "doc_to_choice": ["WRONG", "RIGHT"],
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
)
folder = str(args.model / args.dtype)
model = HFLM(folder, dtype=DTYPES[args.dtype], device="cpu", batch_size=args.batch, add_bos_token=False)
for p in model.model.parameters():
    p.data = p.data.clone()  # not the mapped file
reset_peak()
results = {}


def step():
    results.update(
        evaluator.evaluate(lm=model, task_dict={TASK: task}, limit=args.limit, bootstrap_iters=0, log_samples=True)
    )


seconds = timed(args, step)
samples = sorted(results["samples"][TASK], key=lambda s: s["doc_id"])
answer(
    seconds=seconds,
    lm_eval=importlib.metadata.version("lm_eval"),
    logprobs=[[float(resp[0][0]) for resp in s["resps"]] for s in samples],
)
