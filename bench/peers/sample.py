"""Sampling, LoRA on and not merged: decoding and prefill apart, for ascending numbers of sequences."""

import time

import torch
from common import answer, arguments, lora_model, random_ids, reset_peak, status, timed
from transformers import StoppingCriteria, StoppingCriteriaList

args = arguments(sequences="1,8,32,64", prompt=64, new=128)
model = lora_model(args).eval()
model.generation_config.eos_token_id = None  # every response has the full length
reset_peak()


class Clock(StoppingCriteria):
    """Notes when the first token of the responses was there."""

    def __call__(self, input_ids, scores, **kwargs):
        if self.first is None:
            self.first = time.perf_counter()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


@torch.inference_mode()
def sample(n):
    ids = random_ids(model, n, args.prompt)
    clock, prefill, decode = Clock(), [], []

    def step():
        clock.first = None
        start = time.perf_counter()
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=args.new,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([clock]),
        )
        assert out.shape[1] == args.prompt + args.new, "a response ended early"
        prefill.append(clock.first - start)
        decode.append(time.perf_counter() - clock.first)

    timed(args, step)
    warmup, args.warmup = args.warmup, 0  # the next size finds everything warm
    return {
        "sequences": n,
        "tokens": n * (args.new - 1),
        "seconds": decode[warmup:],
        "prefill_tokens": n * args.prompt,
        "prefill_seconds": prefill[warmup:],
        "peak_rss": status("VmHWM"),
    }


answer(sizes=[sample(int(n)) for n in args.sequences.split(",")])
