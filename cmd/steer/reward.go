package main

import (
	"slices"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

func newRewardCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "reward [JOB.yaml]", GroupID: "stage", Short: "Train a reward model",
		Long: `Trains a LoRA adapter with a scalar head on preference pairs of a theory:
deontology, utilitarianism, virtue, harmlessness, toxicity, or custom: pairs,
ranked answers or labelled answers of your own (see docs/rewards.md).`,
		Example: `  steer reward --model base.gguf --sft runs/sft/adapter.gguf --theory virtue \
      --train virtue_train.csv --held-out virtue_test.csv`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			job, base, err := f.fill(cmd, file, jobs.RewardMethod())
			if err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f, job, base)
		},
	}
	f.bind(cmd, jobs.RewardMethod(), slices.Concat([]keyFlag{
		{flag: "theory", key: "theory", help: "deontology, utilitarianism, virtue, harmlessness, toxicity or custom"},
		{flag: "train", key: "train.path", help: "training data `FILE`", isPath: true},
		{flag: "held-out", key: "held_out.path", help: "held-out data `FILE`", isPath: true},
	}, sourceKeys("the data", "train", "held_out"), []keyFlag{
		{flag: "sft", key: "sft", help: "adapter below the reward adapter, `FILE`; may be repeated", list: true},
		{flag: "template", key: "template", help: "form of the conversations (default: that of the adapter below)"},
		{flag: "init-adapter", key: "init_adapter", help: "continue this adapter (GGUF or PEFT folder)", isPath: true},
		anyStackFlag,
		{flag: "no-shuffle", key: "no_shuffle", help: "take the pairs in the order given", isBool: true},
		{flag: "epochs", key: "epochs", help: "`N` passes over the data", unless: "max_steps"},
		{flag: "max-steps", key: "max_steps", help: "end after `N` optimizer steps (0: after the epochs)"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "mini_batch_size", help: "pairs of an optimizer step, `N`"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	}))
	return cmd
}
