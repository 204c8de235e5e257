package main

import (
	"slices"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

func newGRPOCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "grpo [JOB.yaml]", GroupID: "stage", Short: "Steer a policy by groups of answers, without a value head",
		Long: `Trains a LoRA adapter on top of the SFT adapter: each prompt is answered several
times, and every answer learns from how its score stands to the others'. GRPO and
its kin are settings of one trainer: Dr. GRPO, DAPO, GSPO, RLOO, REINFORCE++, and
by --loss-type bnpo, luspo, cispo, sapo, vespo, gmpo.
Presets: default, trl-grpo, dr-grpo, dapo, gspo, rloo, reinforce++
(see docs/grpo.md).`,
		Example: `  steer grpo --model base.gguf --sft runs/sft/adapter.gguf \
      --prompts chat.jsonl --reward runs/reward-virtue/adapter.gguf \
      --reward-below runs/sft/adapter.gguf
  steer grpo -m base.gguf --preset rloo --prompts chat.jsonl \
      --reward runs/reward-virtue/adapter.gguf --generations 4`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			job, base, err := f.fill(cmd, file, jobs.GRPOMethod())
			if err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f, job, base)
		},
	}
	f.bind(cmd, jobs.GRPOMethod(), slices.Concat([]keyFlag{
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
		{flag: "prompts-per-iteration", key: "prompts_per_iteration", help: "`N` prompts of a rollout batch"},
		{flag: "generations", key: "num_generations", help: "`N` answers to each prompt"},
		{flag: "epochs", key: "epochs", help: "`N` passes over each rollout batch"},
		{flag: "loss-type", key: "loss_type", help: "what is minimised, `NAME`: grpo, dapo, dr_grpo and others"},
		{flag: "beta", key: "beta", help: "price of leaving the reference policy, `B`"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "mini_batch_size", help: "`N` answers of an optimizer update"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	}))
	return cmd
}
