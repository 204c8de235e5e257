"""A training step: forward, backward, clipping and AdamW on batch x tokens, labels everywhere."""

import torch
from common import answer, arguments, lora_model, random_ids, reset_peak, timed

args = arguments(batch=4, tokens=256, checkpointing=False)
model = lora_model(args).train()
if args.checkpointing:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)
ids = random_ids(model, args.batch, args.tokens)
reset_peak()


def step():
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()


answer(seconds=timed(args, step), tokens=args.batch * args.tokens, trained=sum(p.numel() for p in trained))
