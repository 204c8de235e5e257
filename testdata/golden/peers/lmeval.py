"""lm-evaluation-harness: its log-likelihoods of the stored requests, and its aggregation of them."""

import sys

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean, mean_stderr
from lm_eval.models.huggingface import HFLM
from sklearn.metrics import matthews_corrcoef
from transformers import AutoTokenizer

import golden
import models


def requests(item):
    """(context, continuation) of each choice."""
    if "contexts" in item:
        return [(c, item["continuation"]) for c in item["contexts"]]
    return [(item["context"], c) for c in item["continuations"]]


def check(lm, path):
    g = golden.read(path)
    asked = [r for item in g["items"] for r in requests(item)]
    answers = iter(lm.loglikelihood(
        [Instance(request_type="loglikelihood", doc={}, arguments=r, idx=0) for r in asked], disable_tqdm=True
    ))
    acc, norm, predicted = [], [], []
    with golden.File(path) as f:
        for item in g["items"]:
            got = [next(answers) for _ in requests(item)]
            split = [lm._encode_pair(*r) for r in requests(item)]
            n_context, ids = item["n_context_tokens"], item["continuation_ids"]
            f.same("tokens of continuations", [s[1] for s in split], ids)
            if isinstance(n_context, list):
                f.same("lengths of contexts", [len(s[0]) for s in split], n_context)
            else:
                f.same("lengths of contexts", {len(s[0]) for s in split}, {n_context})
            for (ll, best), want, greedy, tokens in zip(got, item["loglikelihood"], item["is_greedy"], ids):
                f.near("log-likelihoods by token", ll / len(tokens), want / len(tokens), 1e-3)
                f.same("is it greedy", bool(best), greedy)
            lls = np.array([ll for ll, _ in got])
            predicted.append(int(lls.argmax()))
            acc.append(float(lls.argmax() == item["gold"]))
            f.near("acc", acc[-1], item["acc"], 1e-12)
            if item.get("acc_norm") is not None:
                chars = np.array([len(c.removeprefix(" ")) for c in item["continuations"]])
                norm.append(float((lls / chars).argmax() == item["gold"]))
                f.near("acc_norm", norm[-1], item["acc_norm"], 1e-12)
        want = g["aggregate"]
        f.near("accuracy", [mean(acc), mean_stderr(acc)], [want["acc"]["mean"], want["acc"]["stderr"]], 1e-12)
        if norm:
            f.near("acc_norm", [mean(norm), mean_stderr(norm)],
                   [want["acc_norm"]["mean"], want["acc_norm"]["stderr"]], 1e-12)
        mcc = matthews_corrcoef([item["gold"] for item in g["items"]], predicted)
        f.near("MCC", mcc, want["mcc_sklearn"], 1e-12)
        f.near("share of choice 1", np.mean(predicted), want["predicted_index_1_rate"], 1e-12)


lm = HFLM(pretrained=models.smollm2(sys.argv[1]), tokenizer=AutoTokenizer.from_pretrained(sys.argv[1]), batch_size=4)
for name in ("wsc273", "ethics_deontology_200", "ethics_utilitarianism_200", "toxigen_train_0_200"):
    check(lm, f"lmeval/{name}.json.gz")
golden.done()
