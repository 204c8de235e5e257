"""PEFT's LoRA gradients and ten steps of torch's AdamW, and the reward model of transformers and PEFT."""

import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForSequenceClassification

import golden
import models

LOSS, GRADIENT, TRAJECTORY, WEIGHTS = 1e-4, 1e-3, 1e-3, 0.01


def trained(model):
    """The trained parameters by the names under which PEFT saves them."""
    names = {name.replace(".default", "").replace(".modules_to_save", ""): p
             for name, p in model.named_parameters() if p.requires_grad}
    return dict(sorted(names.items()))


def ten_steps(f, case, model, loss_of):
    """Runs the stored schedule and compares losses and gradient norms; gives the gradients of step 0."""
    o, params = case["optimizer"], list(trained(model).values())
    adam = torch.optim.AdamW(params, lr=o["lr"], betas=o["betas"], eps=o["eps"], weight_decay=o["weight_decay"])
    first = {}
    for step in case["trajectory"]:
        adam.zero_grad()
        loss = loss_of(step["step"], True)
        if step["step"] == 0:
            first = {name: p.grad.clone() for name, p in trained(model).items()}
            f.near("loss of step 0", loss, step["loss"], LOSS)
        norm = torch.nn.utils.clip_grad_norm_(params, o["clip_global_norm"])
        f.near("losses", loss, step["loss"], TRAJECTORY)
        f.near("global gradient norms", norm / step["grad_norm"], 1, GRADIENT)
        adam.step()
    return first


def gradients(f, first, norms, path):
    for name, want in norms.items():
        f.near("norms of gradients", first[name].norm() / want, 1, GRADIENT)
    for name, want in load_file(golden.ROOT / path).items():
        f.share("gradients", (first[name] - want).norm(), want.norm(), GRADIENT)


def weights(f, case, model, folder):
    """The root mean square of the difference, as a share of the way of ten steps."""
    want = load_file(golden.ROOT / folder / "adapter_final/adapter_model.safetensors")
    got = trained(model)
    f.same("names of tensors", sorted(got), sorted(want))
    d = torch.cat([(got[name].detach() - w).flatten() for name, w in want.items()])
    f.share("final weights", d.square().mean().sqrt(), case["rms_weight_change_10_steps"], WEIGHTS)


def lora(folder, base):
    case, g = golden.read(f"{folder}/case.json"), golden.read(f"{folder}/batches.json.gz")
    with golden.File(folder) as f:
        def logprobs(what, model):
            with torch.no_grad():
                for s, want in zip(g["batches"][0], g[f"logprobs_{what}_batch0"]):
                    f.near(f"log-probabilities ({what})", models.logprobs(model, s["ids"]), want, 1e-3)

        logprobs("base", base)
        model = PeftModel.from_pretrained(base, golden.ROOT / folder / "adapter_init", is_trainable=True)
        logprobs("init", model)

        def loss_of(step, backward):
            batch = g["batches"][step % len(g["batches"])]
            n, total = sum(sum(s["mask"][1:]) for s in batch), 0.0
            for s in batch:
                part = -(models.logprobs(model, s["ids"]) * torch.tensor(s["mask"][1:])).sum() / n
                if backward:
                    part.backward()
                total += part.item()
            return total

        first = ten_steps(f, case, model, loss_of)
        gradients(f, first, g["grad_norm_batch0"], f"{folder}/grads.safetensors")
        with torch.no_grad():
            f.near("final loss", loss_of(0, False), case["final_loss_batch0"], TRAJECTORY)
        logprobs("final", model)
        weights(f, case, model, folder)


def reward(folder, base):
    case, g = golden.read(f"{folder}/case.json"), golden.read(f"{folder}/pairs.json.gz")
    model = PeftModel.from_pretrained(base, golden.ROOT / folder / "adapter_init", is_trainable=True)

    def score(ids):
        return model(input_ids=torch.tensor([ids])).logits[0, 0]

    def loss_of(_, backward):
        total = 0.0
        for p in g["pairs"]:
            part = -torch.nn.functional.logsigmoid(score(p["ids_chosen"]) - score(p["ids_rejected"])) / len(g["pairs"])
            if backward:
                part.backward()
            total += part.item()
        return total

    with golden.File(folder) as f:
        def scores(prefix):
            with torch.no_grad():
                for p in g["pairs"]:
                    for side in ("chosen", "rejected"):
                        f.near("scores", score(p[f"ids_{side}"]), p[f"{prefix}score_{side}"], 1e-3)

        scores("")
        first = ten_steps(f, case, model, loss_of)
        gradients(f, first, g["grad_norm"], f"{folder}/grads.safetensors")
        with torch.no_grad():
            f.near("final loss", loss_of(0, False), case["final_loss"], TRAJECTORY)
        scores("final_")
        weights(f, case, model, folder)


torch.manual_seed(0)
lora("lora/s_all", models.stories260k())
for name in ("lora/m_qv", "lora/m_all"):
    lora(name, models.smollm2(sys.argv[1]))
reward("reward/rm", models.smollm2(sys.argv[1], LlamaForSequenceClassification, num_labels=1))
golden.done()
