"""Two whole steps of trl 0.7.1's PPOTrainer on stories260K, with the stored order of rows."""

import numpy as np
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from trl import AutoModelForCausalLMWithValueHead, PPOConfig, PPOTrainer

import golden
import models

FOLDER = "ppo/step_S"
TOKENS, STATISTICS, WEIGHTS = 1e-4, 1e-3, 0.05


def named(model):
    """The trained tensors by their names in the golden files."""
    return {name.replace("pretrained_model.", "", 1).replace(".default", ""): p
            for name, p in model.named_parameters() if p.requires_grad}


def build(g):
    base = PeftModel.from_pretrained(models.stories260k(), str(golden.ROOT / FOLDER / "adapter_init"), is_trainable=True)
    model = AutoModelForCausalLMWithValueHead.from_pretrained(base)
    head = load_file(golden.ROOT / FOLDER / "adapter_init/v_head.safetensors")
    with torch.no_grad():
        model.v_head.summary.weight.copy_(head["v_head.summary.weight"])
        model.v_head.summary.bias.copy_(head["v_head.summary.bias"])
    for m in model.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    words = Tokenizer(WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<unk>", padding_side="right")
    config = PPOConfig(**{k: v for k, v in g["config"].items()})
    return PPOTrainer(config, model, None, tokenizer)


def main():
    g = golden.read(f"{FOLDER}/step.json.gz")
    trainer = build(g)
    seen = {}
    for name in ("compute_rewards", "compute_advantages", "batched_forward_pass"):
        def record(*args, _name=name, _call=getattr(trainer, name), **kwargs):
            out = _call(*args, **kwargs)
            seen.setdefault(_name, []).append((args, out))
            return out

        setattr(trainer, name, record)
    norms, first = [], {}
    adam_step = trainer.optimizer.optimizer.step

    def step(*args, **kwargs):
        grads = {name: p.grad.clone() for name, p in named(trainer.model).items() if p.grad is not None}
        first.update(first or grads)
        norms.append(torch.cat([x.flatten() for x in grads.values()]).norm().item())
        return adam_step(*args, **kwargs)

    trainer.optimizer.optimizer.step = step
    start = {name: p.detach().clone() for name, p in named(trainer.model).items()}
    with golden.File(FOLDER) as f:
        for number, s in enumerate(g["steps"]):
            orders = iter(s["permutations_per_epoch"])
            np.random.permutation, shuffle = (lambda n: np.array(next(orders))), np.random.permutation
            seen.clear()
            norms.clear()
            f.near("KL coefficient", trainer.kl_ctl.value, s["kl_coef_before"], TOKENS)
            stats = trainer.step([torch.tensor(q) for q in s["queries"]], [torch.tensor(r) for r in s["responses"]],
                                 [torch.tensor(x) for x in s["scores"]])
            np.random.permutation = shuffle
            compare(f, s, seen, stats, norms)
            f.near("KL coefficient", trainer.kl_ctl.value, s["kl_coef_after"], TOKENS)
            if number == 0:
                for name, want in load_file(golden.ROOT / FOLDER / "grads_first_update.safetensors").items():
                    f.share("gradients of the first update", (first[name] - want).norm(), want.norm(), STATISTICS)
                weights(f, trainer, start, load_file(golden.ROOT / FOLDER / "weights_after_step1.safetensors"))
        final = load_file(golden.ROOT / FOLDER / "adapter_final/adapter_model.safetensors")
        final |= load_file(golden.ROOT / FOLDER / "adapter_final/v_head.safetensors")
        weights(f, trainer, start, final)
    golden.done()


def compare(f, s, seen, stats, norms):
    mask = torch.tensor(s["mask"])
    (logprobs, _, values, _), (ref, _, _, _) = (out for _, out in seen["batched_forward_pass"][:2])
    (args, (rewards, non_score)), = seen["compute_rewards"]
    (_, (_, advantages, returns)), = seen["compute_advantages"]
    f.near("scores used", args[0], s["scores_used"], TOKENS)
    for what, got in (("logprobs", logprobs), ("ref_logprobs", ref), ("values_raw", values), ("rewards", rewards),
                      ("non_score_reward", non_score), ("advantages", advantages), ("returns", returns)):
        f.near(what, got * mask, torch.tensor(s[what]) * mask, TOKENS)
    f.near("gradient norms", norms, s["optimizer_step_grad_norms_as_seen_by_adam"], STATISTICS, relative=True)
    for key, want in s["stats"].items():
        if key not in ("ppo/policy/advantages", "ppo/policy/ratio"):  # padded cells are in there
            f.near(key, stats[key], want, STATISTICS, relative=True)


def weights(f, trainer, start, want):
    got = named(trainer.model)
    f.same("names of tensors", sorted(got), sorted(want))
    off = torch.cat([(got[name].detach() - w).flatten() for name, w in want.items()])
    way = torch.cat([(start[name] - w).flatten() for name, w in want.items()])
    f.share("weights", off.norm(), way.norm(), WEIGHTS)


main()
