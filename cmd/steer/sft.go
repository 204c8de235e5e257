package main

import (
	"slices"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

func newSFTCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "sft [JOB.yaml]", GroupID: "stage", Short: "Fine-tune on instructions",
		Long: `Trains a LoRA adapter on conversations (messages, ShareGPT, Alpaca,
prompt/completion, guanaco; see docs/data.md) or on rows of token ids.
Presets: default, thesis (see docs/sft.md).`,
		Example: `  steer sft --model base.gguf --train chat.jsonl --eval held-out.jsonl \
      --epochs 2 --lr 1e-4 --rank 8 -o runs/sft
  steer sft sft.yaml --set optim.warmup_steps=10`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			job, base, err := f.fill(cmd, file, jobs.SFTMethod())
			if err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f, job, base)
		},
	}
	f.bind(cmd, jobs.SFTMethod(), slices.Concat([]keyFlag{
		{flag: "train", key: "train.path", help: "training data `FILE`", isPath: true},
		{flag: "eval", key: "eval.path", help: "held-out data `FILE`", isPath: true},
	}, sourceKeys("the data", "train", "eval"), []keyFlag{
		{flag: "template", key: "template",
			help: "model (its own, the default), chatml, guanaco, llama2, hh or plain; kept in the adapter"},
		{flag: "init-adapter", key: "init_adapter", help: "continue this adapter (GGUF or PEFT folder)", isPath: true},
		anyStackFlag,
		{flag: "no-shuffle", key: "no_shuffle", help: "take the rows in the order given", isBool: true},
		{flag: "epochs", key: "epochs", help: "`N` passes over the data", unless: "max_steps"},
		{flag: "max-steps", key: "max_steps", help: "end after `N` optimizer steps (0: after the epochs)"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "mini_batch_size", help: "blocks or examples of an optimizer step, `N`"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	}))
	return cmd
}
