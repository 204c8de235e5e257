"""Log-probabilities of batch x tokens given tokens, LoRA on, no gradient."""

import torch
from common import answer, arguments, lora_model, random_ids, reset_peak, timed

args = arguments(batch=4, tokens=256)
model = lora_model(args).eval()
ids = random_ids(model, args.batch, args.tokens)
reset_peak()


@torch.inference_mode()
def step():
    logits = model(input_ids=ids, use_cache=False).logits
    out = []
    for row, targets in zip(logits[:, :-1], ids[:, 1:]):  # one sequence in f32 at a time, as trl does
        row = row.float()
        out.append(row.gather(-1, targets[:, None])[:, 0] - row.logsumexp(-1))
    return torch.stack(out)


answer(seconds=timed(args, step), tokens=args.batch * args.tokens)
