"""GRPO iterations by trl's own trainer: policy with LoRA (the reference is the policy with its adapter off) and a
reward model of the same size. An iteration is one batch of groups and as many updates as there are epochs."""

from clock import Clock
from common import answer, arguments, base_model, lora_config, reset_peak
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer
from words import Words

args = arguments(episodes=8, group=8, prompt=64, new=64, epochs=4, out="/tmp/steer-peers-grpo")
tokenizer = AutoTokenizer.from_pretrained(args.model / args.dtype)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
words = Words(tokenizer)
reward = base_model(args, AutoModelForSequenceClassification, num_labels=1)
reward.config.pad_token_id = tokenizer.pad_token_id
iterations = args.warmup + args.steps
prompts = [{"prompt": words.text(args.prompt)} for _ in range(args.episodes * iterations)]
clock = Clock()
config = GRPOConfig(
    output_dir=args.out,
    use_cpu=True,
    bf16=False,
    report_to="none",
    save_strategy="no",
    # An update takes all answers of the batch, so many at a time as there are prompts.
    per_device_train_batch_size=args.episodes,
    gradient_accumulation_steps=args.group,
    num_generations=args.group,
    num_iterations=args.epochs,
    max_steps=iterations * args.epochs,
    max_completion_length=args.new,
    generation_kwargs={"min_new_tokens": args.new},
    temperature=1.0,
    beta=0.04,
    learning_rate=1e-5,
    gradient_checkpointing=False,
    disable_tqdm=True,
)
trainer = GRPOTrainer(
    model=base_model(args),
    reward_funcs=reward,
    reward_processing_classes=tokenizer,
    args=config,
    processing_class=tokenizer,
    train_dataset=Dataset.from_list(prompts),
    peft_config=lora_config(task_type="CAUSAL_LM"),
    callbacks=[clock],
)
reset_peak()
trainer.train()
answer(
    seconds=clock.rounds(args.epochs)[args.warmup :],
    tokens=args.episodes * args.group * (args.prompt + args.new),
)
