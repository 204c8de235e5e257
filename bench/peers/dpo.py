"""DPO steps by trl's own trainer. The reference's log-probabilities are computed before, as steer's are."""

from clock import Clock
from common import answer, arguments, base_model, lora_config, reset_peak
from datasets import Dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer
from words import Words

args = arguments(episodes=8, prompt=64, new=64, out="/tmp/steer-peers-dpo")
tokenizer = AutoTokenizer.from_pretrained(args.model / args.dtype)
words = Words(tokenizer)
steps = args.warmup + args.steps
pairs = [
    # the trainer puts an end behind each answer
    {"prompt": words.text(args.prompt), "chosen": words.text(args.new - 1), "rejected": words.text(args.new - 1)}
    for _ in range(args.episodes * steps)
]
clock = Clock()
config = DPOConfig(
    output_dir=args.out,
    use_cpu=True,
    bf16=False,
    report_to="none",
    save_strategy="no",
    per_device_train_batch_size=args.episodes,
    gradient_accumulation_steps=1,
    max_steps=steps,
    max_length=None,
    precompute_ref_log_probs=True,
    precompute_ref_batch_size=args.episodes,
    learning_rate=1e-5,
    gradient_checkpointing=False,
    disable_tqdm=True,
)
trainer = DPOTrainer(
    model=base_model(args),
    args=config,
    processing_class=tokenizer,
    train_dataset=Dataset.from_list(pairs),
    peft_config=lora_config(task_type="CAUSAL_LM"),
    callbacks=[clock],
)
reset_peak()
trainer.train()
answer(seconds=clock.seconds[args.warmup :], tokens=2 * args.episodes * (args.prompt + args.new))
