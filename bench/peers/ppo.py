"""PPO iterations by trl's own trainer: policy with LoRA (the reference is the policy with its adapter
off), reward and value model of the same size; the value model trains in full, as the trainer has it."""

from clock import Clock
from common import answer, arguments, base_model, lora_config, random_ids, reset_peak
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl.experimental.ppo import PPOConfig, PPOTrainer

args = arguments(episodes=8, prompt=64, new=64, epochs=4, out="/tmp/steer-peers-ppo")
tokenizer = AutoTokenizer.from_pretrained(args.model / args.dtype)
policy = base_model(args)
reward, value = (base_model(args, AutoModelForSequenceClassification, num_labels=1) for _ in range(2))
iterations = args.warmup + args.steps
prompts = Dataset.from_dict({"input_ids": random_ids(policy, args.episodes * iterations, args.prompt).tolist()})
clock = Clock()
config = PPOConfig(
    output_dir=args.out,
    use_cpu=True,
    bf16=False,
    report_to="none",
    save_strategy="no",
    num_sample_generations=0,
    per_device_train_batch_size=args.episodes,
    gradient_accumulation_steps=1,
    num_mini_batches=1,
    local_rollout_forward_batch_size=args.episodes,
    total_episodes=args.episodes * iterations,
    num_ppo_epochs=args.epochs,
    response_length=args.new,
    stop_token=None,
    temperature=1.0,
    learning_rate=1e-5,
    gradient_checkpointing=False,
    disable_tqdm=True,
)
trainer = PPOTrainer(
    args=config,
    processing_class=tokenizer,
    model=policy,
    ref_model=None,
    reward_model=reward,
    value_model=value,
    train_dataset=prompts,
    eval_dataset=prompts,
    peft_config=lora_config(task_type="CAUSAL_LM"),
    callbacks=[clock],
)
reset_peak()
trainer.train()
answer(seconds=clock.seconds[args.warmup :], tokens=args.episodes * (args.prompt + args.new))
