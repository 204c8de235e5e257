"""transformers' forward pass: log-probabilities, entropies, scalar heads, greedy tokens and sampling distributions."""

import sys

import torch
from safetensors.torch import load_file
from transformers import GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import golden
import models

LOGPROB = 1e-3


def forward(name, model):
    g, head = golden.read(f"forward/forward_{name}.json.gz"), load_file(golden.ROOT / f"forward/head_{name}.safetensors")
    with golden.File(f"forward/forward_{name}.json.gz") as f:
        for item in g["items"]:
            ids = torch.tensor([item["ids"]])
            hidden = model.model(ids).last_hidden_state[0]
            logits = model.lm_head(hidden).float()
            lp = torch.log_softmax(logits, -1)
            f.near("log-probabilities", lp[:-1].gather(1, ids[0, 1:, None]).squeeze(1), item["logprobs"], LOGPROB)
            f.near("entropies", -(lp.exp() * lp).sum(-1), item["entropy"], LOGPROB)
            if "head" in item:
                for k in (0, 1):
                    h = hidden @ head["head.weight"][k] + head["head.bias"][k]
                    f.near("scalar heads", h, item["head"][f"head{k}"], LOGPROB)
            if item.get("last_logits"):
                f.near("logits", logits[-1], item["last_logits"], LOGPROB)
            if "last_top5" in item:
                f.near("five best", lp[-1][item["last_top5"]["ids"]], item["last_top5"]["logprobs"], LOGPROB)


def greedy(model, ids, n):
    """n greedy tokens, stop tokens off."""
    model.generation_config.eos_token_id = None  # it would fill in for the None below
    config = GenerationConfig(max_new_tokens=n, do_sample=False, eos_token_id=None, pad_token_id=0)
    return model.generate(torch.tensor([ids]), generation_config=config)[0].tolist()


def stories_greedy(model):
    path = "models/stories260K/golden_greedy.json"
    g = golden.read(path)
    with golden.File(path) as f:
        f.same("256 greedy tokens", greedy(model, g["ids"][:1], len(g["ids"]) - 1), g["ids"])
        f.near("logits", model(torch.tensor([g["ids"][:8]])).logits[0], g["logits_first8"], 1e-4)


def warpers(text):
    """Such as "transformers warpers temperature=0.8,top_k=50,top_p=0.95"."""
    made = LogitsProcessorList()
    for setting in text.split()[-1].split(","):
        key, value = setting.split("=")
        if key == "temperature":
            made.append(TemperatureLogitsWarper(float(value)))
        elif key == "top_k":
            made.append(TopKLogitsWarper(int(value)))
        else:
            made.append(TopPLogitsWarper(float(value)))
    return made


def sampling_stories(model):
    path = "sampling/S_next_token.json.gz"
    g, tolerance = golden.read(path), 1e-5
    with golden.File(path) as f:
        for p in g["prompts"]:
            ids = torch.tensor([p["prompt_ids"]])
            logits = model(ids).logits[:, -1].float()
            f.near("logits", logits[0], p["logits"], LOGPROB)
            for d in p["dist"]:
                if "probs" in d:
                    probs = torch.softmax(logits[0].double() / d["temperature"], -1)
                    f.near("probabilities", probs, d["probs"], tolerance)
                    f.near("entropy", -(probs * probs.log()).sum(), d["entropy"], LOGPROB)
                    continue
                probs = torch.softmax(warpers(d["sampler"])(ids, logits)[0].double(), -1)
                kept = {str(i): x for i, x in enumerate(probs.tolist()) if x > 0}
                f.same("tokens kept by " + d["sampler"], sorted(kept), sorted(d["probs_nonzero"]))
                f.near("probabilities", kept, d["probs_nonzero"], tolerance)
        two = g["two_tokens_after_prompt_1"]
        prompt = g["prompts"][1]["prompt_ids"]
        first = torch.softmax(model(torch.tensor([prompt])).logits[0, -1].double(), -1)
        second = {}
        for pair, want in two["prob_of_pair"].items():
            a, b = map(int, pair.split(","))
            if a not in second:
                second[a] = torch.softmax(model(torch.tensor([prompt + [a]])).logits[0, -1].double(), -1)
            f.near("probabilities of two tokens", first[a] * second[a][b], want, tolerance)


def sampling_smollm2(model):
    path = "sampling/M_greedy.json"
    with golden.File(path) as f:
        for item in golden.read(path)["items"]:
            ids, new = item["prompt_ids"], item["new_ids"]
            f.same("greedy tokens", greedy(model, ids, len(new))[len(ids) :], new)
            lp = torch.log_softmax(model(torch.tensor([ids + new])).logits[0].float(), -1)[len(ids) - 1 : -1]
            best = lp.topk(2).values
            f.near("log-probabilities", lp.gather(1, torch.tensor(new)[:, None]).squeeze(1), item["logprobs"], LOGPROB)
            f.near("margins", best[:, 0] - best[:, 1], item["top1_minus_top2"], LOGPROB)


with torch.no_grad():
    stories = models.stories260k()
    stories_greedy(stories)
    forward("S", stories)
    sampling_stories(stories)
    real = models.smollm2(sys.argv[1])
    forward("M", real)
    sampling_smollm2(real)
golden.done()
