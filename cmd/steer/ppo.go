package main

import (
	"slices"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

func newPPOCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "ppo [JOB.yaml]", GroupID: "stage", Short: "Steer a policy by PPO with a reward model",
		Long: `Trains a LoRA adapter (with a value head) on top of the SFT adapter, so that
answers to the prompts score higher under the reward model, at bounded KL from
the SFT model. A reward model that was trained in another template reads the
answers in its own.
Presets: default, thesis (see docs/ppo.md).`,
		Example: `  steer ppo --model base.gguf --sft runs/sft/adapter.gguf \
      --prompts chat.jsonl --reward runs/reward-virtue/adapter.gguf \
      --reward-below runs/sft/adapter.gguf`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			job, base, err := f.fill(cmd, file, jobs.PPOMethod())
			if err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f, job, base)
		},
	}
	f.bind(cmd, jobs.PPOMethod(), slices.Concat([]keyFlag{
		{flag: "sft", key: "sft", help: "adapter of the reference policy, `FILE`", list: true},
		{flag: "reward", key: "reward", help: "reward adapter, `FILE`", isPath: true},
		{flag: "reward-below", key: "reward_below", help: "adapter below the reward adapter, `FILE`; may be repeated",
			list: true},
		{flag: "prompts", key: "prompts.path", help: "prompts, or data that have some, `FILE`", isPath: true},
		{flag: "held-out", key: "held_out.path", help: "held-out prompts, `FILE`", isPath: true},
	}, sourceKeys("the prompts", "prompts", "held_out"), []keyFlag{
		{flag: "template", key: "template", help: "form of the prompts (default: that of the SFT adapter)"},
		anyStackFlag,
		{flag: "iterations", key: "iterations", help: "`N` rollout batches"},
		{flag: "epochs", key: "ppo_epochs", help: "`N` passes over each rollout batch"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "rollout_batch_size", help: "`N` episodes of a rollout batch; mini_batch_size divides it"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	}))
	return cmd
}
