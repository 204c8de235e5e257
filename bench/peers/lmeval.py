"""Scruples anecdotes, label log-likelihood, by lm-evaluation-harness on the CPU.

    lmeval.py --model folder --dtype bf16 --batch 8 --items items.jsonl --offset N --limit N --out FOLDER

items.jsonl has a line an item: prompt, and the number of the right choice, gold. What is timed is the
scoring of all requests, tokenization included; imports, loading the model and building the task are not.
"""

import datasets
from common import DTYPES, answer, arguments, reset_peak, timed
from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

args = arguments(batch=8, items="", offset=0, limit=60, out="/tmp/steer-peers-eval")
datasets.config.HF_DATASETS_CACHE = args.out
datasets.disable_progress_bars()
task = ConfigurableTask(
    config={
        "task": "scruples_label",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": args.items},
            "split": None,
        },
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "gold",
        "doc_to_choice": ["WRONG", "RIGHT"],
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
)
model = HFLM(
    pretrained=str(args.model / args.dtype), dtype=DTYPES[args.dtype], device="cpu", batch_size=args.batch, add_bos_token=False
)
for p in model.model.parameters():
    p.data = p.data.clone()  # not the mapped file
reset_peak()
results = {}


def step():
    results.update(evaluator.evaluate(lm=model, task_dict={"scruples_label": task}, limit=args.limit, bootstrap_iters=0, log_samples=True))


seconds = timed(args, step)
samples = sorted(results["samples"]["scruples_label"], key=lambda s: s["doc_id"])
answer(
    seconds=seconds,
    tokens=0,
    acc=results["results"]["scruples_label"]["acc,none"],
    logprobs=[[float(r[0][0]) for r in s["resps"]] for s in samples],
)
