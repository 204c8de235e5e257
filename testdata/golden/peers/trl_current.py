"""The losses of trl 1.16.0 (DPO, GRPO, RLOO), called with given log-probabilities, and the lines of trl 1.9.2's
experimental PPO, which 1.16.0 no longer has.

    trl_current.py FOLDER-OF-1.9.2

trl 1.16.0 must come first in PYTHONPATH.
"""

import collections
import inspect
import pathlib
import sys
import textwrap
import types

import torch
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer import grpo_trainer, rloo_trainer
from trl.trainer.rloo_trainer import RLOOTrainer

import golden

TOLERANCE = 1e-5


def same(x, **_):
    return x


def trainer(**settings):
    """What the losses read of a trainer in evaluation: no accumulation, one process, nothing optional switched on."""
    accelerator = types.SimpleNamespace(gather=same, gather_for_metrics=same, reduce=same, num_processes=1, device="cpu")
    return types.SimpleNamespace(
        accelerator=accelerator, model=types.SimpleNamespace(training=False), aux_loss_enabled=False, use_vllm=False,
        current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False, top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, ld_alpha=None, f_divergence_type="reverse_kl", precompute_ref_logps=True,
        use_weighting=False, loss_weights=[1.0], _total_train_tokens=0,
        _metrics=collections.defaultdict(lambda: collections.defaultdict(list)), **settings)


def lines(function, first, last):
    """The source lines of a function from the one that begins with first to the one that begins with last."""
    source = textwrap.dedent(inspect.getsource(function) if callable(function) else function).splitlines()
    a = next(i for i, l in enumerate(source) if l.strip().startswith(first))
    b = next(i for i, l in enumerate(source) if i >= a and l.strip().startswith(last))
    return compile(textwrap.dedent("\n".join(source[a : b + 1])), "trl", "exec")


def dpo(f, c):
    mask = torch.tensor(c["mask"])
    lp = torch.tensor(c["logprobs"], requires_grad=True)
    zeros = torch.zeros_like(mask, dtype=torch.float32)
    outputs = types.SimpleNamespace(log_probs=lp * mask, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    t = trainer(loss_types=[c["loss_type"]], beta=c["beta"], label_smoothing=c["label_smoothing"])
    chosen, rejected = torch.tensor(c["ref_seq_logps"]).chunk(2)
    before = torch.zeros(len(mask), 1, dtype=mask.dtype)  # the trainer drops the first column: no prediction of it
    completion = torch.cat([before, mask], 1)
    inputs = {"input_ids": torch.zeros_like(completion), "completion_mask": completion, "attention_mask": completion,
              "ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
    loss = DPOTrainer._compute_loss(t, lambda **_: outputs, inputs, False)
    loss.backward()
    f.near("DPO: sums of log-probabilities", (lp * mask).sum(1), c["seq_logps"], TOLERANCE, relative=True)
    f.near("DPO: loss", loss, c["loss"], TOLERANCE, relative=True)
    f.near("DPO: gradients", lp.grad, c["grad_logprobs"], TOLERANCE)
    for key, want in c["metrics"].items():
        f.near("DPO: " + key, t._metrics["eval"][key], [want], TOLERANCE, relative=True)


def policy_inputs(mask):
    return {"prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long), "prompt_mask": torch.ones(len(mask), 1),
            "completion_ids": torch.zeros_like(mask), "completion_mask": mask, "num_items_in_batch": mask.sum()}


def grpo(f, c):
    rewards, mask = torch.tensor(c["rewards_per_func"]), torch.tensor(c["mask"])
    weights = torch.tensor(c["reward_weights"])
    code = lines(GRPOTrainer._generate_and_score_completions, "unscorable_mask =", "advantages = torch.nan_to_num")
    for key, want in c["advantages"].items():
        aggregation, scale = key.split("/")
        scope = vars(grpo_trainer) | {
            "rewards_per_func": rewards, "num_generations": c["num_generations"], "device": "cpu",
            "self": types.SimpleNamespace(multi_objective_aggregation=aggregation, scale_rewards=scale,
                                          reward_weights=weights, reward_funcs=[None] * rewards.shape[1])}
        exec(code, scope)
        f.near("GRPO: advantages", scope["advantages"], want["adv"], TOLERANCE)
        f.same("GRPO: zero deviation", scope["is_std_zero"].tolist(), want["std_is_zero"])
    advantages = torch.tensor(c["advantages"]["sum_then_normalize/group"]["adv"])
    for l in c["losses"]:
        lp = torch.tensor(c["logprobs"], requires_grad=True)
        old = None if l.get("old_is_new_detached") else torch.tensor(c["old_logprobs"])
        t = trainer(loss_type=l["loss_type"], importance_sampling_level=l["importance_sampling_level"], beta=l["beta"],
                    epsilon_low=l["epsilon_low"], epsilon_high=l["epsilon_high"],
                    max_completion_length=l.get("max_completion_length"),
                    args=types.SimpleNamespace(delta=l.get("delta"), use_bias_correction_kl=False),
                    _get_per_token_logps_and_entropies=lambda *_, **__: (lp, torch.zeros_like(lp), None))
        inputs = policy_inputs(mask) | {"advantages": advantages, "old_per_token_logps": old,
                                        "ref_per_token_logps": torch.tensor(c["ref_logprobs"])}
        loss = GRPOTrainer._compute_loss(t, None, inputs)
        loss.backward()
        f.near(f"GRPO: loss {l['loss_type']}", loss, l["loss"], TOLERANCE, relative=True)
        f.near(f"GRPO: gradients of {l['loss_type']}", lp.grad, l["grad_logprobs"], TOLERANCE)


def rloo(f, c):
    mask, lp = torch.tensor(c["mask"]), torch.tensor(c["logprobs"], requires_grad=True)
    scope = vars(rloo_trainer) | {"rewards": torch.tensor(c["rewards_after_kl"]), "num_generations": c["num_generations"],
                                  "self": types.SimpleNamespace(normalize_advantages=c["normalize_advantages"])}
    exec(lines(RLOOTrainer._generate_and_score_completions, "grouped_rewards =", "advantages = torch.nan_to_num"), scope)
    f.near("RLOO: advantages", scope["advantages"], c["advantages"], TOLERANCE)
    t = trainer(epsilon_low=c["epsilon"], epsilon_high=c["epsilon"],
                _get_per_token_logps_and_entropies=lambda *_, **__: (lp, torch.zeros_like(lp), None))
    old = (torch.tensor(c["old_logprobs"]) * mask).sum(1)
    inputs = policy_inputs(mask) | {"advantages": torch.tensor(c["advantages"]), "old_logps": old}
    loss = RLOOTrainer._compute_loss(t, None, inputs)
    loss.backward()
    f.near("RLOO: loss", loss, c["loss"], TOLERANCE, relative=True)
    f.near("RLOO: gradients", lp.grad, c["grad_logprobs"], TOLERANCE)


def function(source, name):
    """The source of one function of a file, by indentation."""
    out = source[source.index(f"def {name}(") :]
    return out[: out.index("\n\n\n")]


def experimental_ppo(f, c, root):
    ppo = (root / "trl/experimental/ppo/ppo_trainer.py").read_text()
    scope = {"torch": torch, "args": types.SimpleNamespace(**c["args"])}
    for file in root.glob("trl/**/*.py"):  # the helpers' home differs between releases
        text = file.read_text()
        for name in ("masked_mean", "masked_var", "masked_whiten"):
            if name not in scope and f"\ndef {name}(" in text:
                exec("from __future__ import annotations\n" + function(text, name), scope)
    lens = torch.tensor(c["lens"])
    scope |= {
        "logprobs": torch.tensor(c["logprobs_old"]), "ref_logprobs": torch.tensor(c["logprobs_ref"]),
        "values": torch.tensor(c["values_masked"]), "scores": torch.tensor(c["scores"]),
        "padding_mask": torch.tensor(c["padding_mask"]).bool(), "padding_mask_p1": torch.tensor(c["padding_mask_p1"]).bool(),
        "sequence_lengths": lens - 1, "sequence_lengths_p1": lens,
    }
    for key in ("logprobs", "ref_logprobs"):
        scope[key] = torch.masked_fill(scope[key], scope["padding_mask"], 1.0)  # INVALID_LOGPROB
    scope["responses"] = scope["logprobs"]
    exec(lines(ppo, "logr = ref_logprobs - logprobs", "rewards[actual_start, actual_end] += scores"), scope)
    f.near("experimental PPO: KL", scope["kl"], c["kl"], TOLERANCE)
    f.near("experimental PPO: rewards", scope["rewards"], c["rewards_before_whiten"], TOLERANCE)
    exec(lines(ppo, "# 5. whiten rewards", "advantages = torch.masked_fill(advantages, padding_mask, 0)"), scope)
    for key in ("rewards", "returns", "advantages"):
        f.near("experimental PPO: " + key, scope[key], c[key], TOLERANCE)
    new, vpred = (torch.tensor(c[k], requires_grad=True) for k in ("logprobs_new", "vpred_new"))
    every = slice(None)
    scope |= {"new_logprobs": torch.masked_fill(new, scope["padding_mask"], 1.0),
              "vpred": torch.masked_fill(vpred, scope["padding_mask_p1"], 0), "micro_batch_inds": every,
              "mb_values": scope["values"], "mb_return": scope["returns"], "mb_advantage": scope["advantages"],
              "mb_logprobs": scope["logprobs"]}
    exec(lines(ppo, "vpredclipped = torch.clamp(", "loss = pg_loss + args.vf_coef * vf_loss"), scope)
    scope["loss"].backward()
    for key in ("vf_loss", "pg_loss", "loss", "vf_clipfrac"):
        f.near("experimental PPO: " + key, scope[key], c[key], TOLERANCE)
    f.near("experimental PPO: gradients", [new.grad, vpred.grad], [c["grad"][k] for k in ("logprobs_new", "vpred_new")], TOLERANCE)


path = "ppo/trl_current.json.gz"
g = golden.read(path)
with golden.File(path) as f:
    for c in g["dpo"]:
        dpo(f, c)
    for c in g["grpo"]:
        grpo(f, c)
    for c in g["rloo"]:
        rloo(f, c)
    for c in g["experimental_ppo"]:
        experimental_ppo(f, c, pathlib.Path(sys.argv[1]))
golden.done()
