"""The functions of trl 0.7.1's PPOTrainer on small ragged tensors."""

import types

import torch
import trl.core as core
from trl.trainer.ppo_trainer import PPOTrainer
from trl.trainer.utils import AdaptiveKLController, FixedKLController
from trl.trainer.utils import RunningMoments

import golden

TOLERANCE = 1e-5


def trainer(config):
    """What the methods read of a PPOTrainer."""
    t = types.SimpleNamespace(config=types.SimpleNamespace(**config), is_distributed=False)
    t.kl_ctl = types.SimpleNamespace(value=config.get("init_kl_coef", 0))
    t.optimizer = types.SimpleNamespace(zero_grad=lambda: None)
    t._kl_penalty = types.MethodType(PPOTrainer._kl_penalty, t)
    return t


def case(f, c):
    def near(what, got, want):
        f.near(what, got, want, TOLERANCE, relative=True)

    t = trainer(c["config"])
    x = {k: torch.tensor(v) for k, v in c["inputs"].items()}
    mask, lp, ref = x["mask"], x["logprobs_old"], x["logprobs_ref"]
    full = "full_logprobs_old" in x
    for penalty, want in c["kl_per_token"].items():
        t.config.kl_penalty = penalty
        pair = (x["full_logprobs_old"], x["full_logprobs_ref"]) if penalty == "full" else (lp, ref)
        near("KL of tokens", t._kl_penalty(*pair), want)
    t.config.kl_penalty = c["config"]["kl_penalty"]
    pair = (x["full_logprobs_old"], x["full_logprobs_ref"]) if full else (lp, ref)
    rewards, non_score = PPOTrainer.compute_rewards(t, x["scores"], *pair, mask)
    near("rewards", rewards, c["rewards"])
    near("rewards without scores", non_score, c["non_score_reward"])
    values, advantages, returns = PPOTrainer.compute_advantages(t, x["values_old"], rewards, mask)
    near("values", values, c["values_masked"])
    near("advantages", advantages, c["advantages"])
    near("returns", returns, c["returns"])
    raw = returns - values
    near("advantages before whitening", raw, c["advantages_raw"])
    near("masked mean", core.masked_mean(raw, mask), c["masked_mean_advantages_raw"])
    near("masked variance", core.masked_var(raw, mask), c["masked_var_advantages_raw"])

    def loss(rows):
        new, vpred = (x[k][rows].clone().requires_grad_() for k in ("logprobs_new", "vpred_new"))
        pg, vf, stats = PPOTrainer.loss(t, lp[rows], values[rows], x["logits_new"][rows], vpred, new, mask[rows],
                                        advantages[rows], returns[rows])
        (pg + vf).backward()
        return pg, vf, stats, new.grad, vpred.grad

    every = torch.arange(len(mask))
    pg, vf, stats, g_new, g_vpred = loss(every)
    near("losses", [pg, vf, pg + vf], [c["loss"][k] for k in ("policy", "value_times_vf_coef", "total")])
    near("gradients", [g_new, g_vpred], [c["grad"][k] for k in ("logprobs_new", "vpred_new")])
    for key, want in c["stats"].items():
        near(key, stats[key], want)
    near("entropies", core.entropy_from_logits(x["logits_new"]), c["per_token"]["entropy"])
    near("ratios", stats["policy/ratio"], c["per_token"]["ratio"])
    rows = [loss(every[i : i + 1]) for i in range(len(mask))]
    for (pg, vf, _, _, _), want in zip(rows, c["mini_batch_1"]["per_row"]):
        near("losses of rows", [pg, vf], [want["policy"], want["value_times_vf_coef"]])
    n = len(rows)
    near("gradients of rows", [torch.cat([r[3] for r in rows]) / n, torch.cat([r[4] for r in rows]) / n],
         [c["mini_batch_1"]["grad"][k] for k in ("logprobs_new", "vpred_new")])
    k = c["kl_controller"]
    kl = ((lp - ref) * mask).sum(-1)
    near("KL of sequences", kl, k["kl_dist"])
    control = AdaptiveKLController(k["beta_before"], c["config"]["target"], c["config"]["horizon"])
    control.update(kl.mean().item(), k["n_steps"])
    near("KL coefficient", control.value, k["beta_after"])


path = "ppo/trl071.json.gz"
g = golden.read(path)
with golden.File(path) as f:
    for c in g["cases"]:
        case(f, c)
    for c in g["adaptive_kl"]:
        control = AdaptiveKLController(c["init"], c["target"], c["horizon"])
        fixed = FixedKLController(c["init"])
        for kl, want in zip(c["kl"], c["value_after"]):
            control.update(kl, c["n_steps"])
            fixed.update(kl, c["n_steps"])
            f.near("KL coefficient", control.value, want, TOLERANCE)
        f.near("fixed KL coefficient", fixed.value, c["fixed_after"], TOLERANCE)
    for c in g["early_stop"]:
        t = trainer({"early_stopping": c["early_stopping"], "target_kl": c["target_kl"]})
        f.same("early stopping", bool(PPOTrainer._early_stop(t, c["policykl"])), c["stop"])
    running = RunningMoments(types.SimpleNamespace(use_distributed=False))
    for c in g["running_moments"]:
        scores = torch.tensor(c["scores"])
        mean, std = running.update(scores)
        normed = (scores - running.mean) / running.std
        got = {"batch_mean": mean, "batch_std": std, "running_mean": running.mean, "running_std": running.std,
               "running_var": running.var, "running_count": running.count, "scaled": scores / running.std,
               "scaled_and_normed": normed, "scaled_and_normed_clip_0p5": torch.clip(normed, -0.5, 0.5)}
        for key, value in got.items():
            f.near(key, value, c[key], TOLERANCE)
    for c in g["helpers"]:
        values, mask = torch.tensor(c["values"]), torch.tensor(c["mask"])
        got = {"masked_mean": core.masked_mean(values, mask), "masked_var_unbiased": core.masked_var(values, mask),
               "masked_var_biased": core.masked_var(values, mask, unbiased=False),
               "masked_whiten_shift": core.masked_whiten(values, mask),
               "masked_whiten_noshift": core.masked_whiten(values, mask, shift_mean=False),
               "whiten_all": core.whiten(values), "entropy_from_logits_rows": core.entropy_from_logits(values)}
        for key, value in got.items():
            f.near(key, value, c[key], TOLERANCE)
golden.done()
