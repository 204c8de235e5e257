package main

import (
	"slices"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

func newDPOCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "dpo [JOB.yaml]", GroupID: "stage", Short: "Steer a policy by preferences, without a reward model",
		Long: `Trains a LoRA adapter on top of the SFT adapter, so that of two answers the
preferred one becomes more likely than the SFT model has it: DPO and its family
(ipo, hinge, robust, exo_pair, nca_pair, bco_pair, sppo_hard, apo_zero, apo_down,
discopop), KTO on single answers with a thumb, and without a reference policy
orpo, simpo and cpo. The data are those of reward models.
Presets: default, trl-dpo (see docs/dpo.md).`,
		Example: `  steer dpo --model base.gguf --sft runs/sft/adapter.gguf \
      --train preferences.jsonl
  steer dpo -m base.gguf --theory virtue --train virtue_train.csv \
      --held-out virtue_test.csv --loss ipo --beta 0.2 -o runs/dpo-virtue
  steer dpo -m base.gguf --train thumbs.jsonl --loss kto`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			job, base, err := f.fill(cmd, file, jobs.DPOMethod())
			if err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f, job, base)
		},
	}
	f.bind(cmd, jobs.DPOMethod(), slices.Concat([]keyFlag{
		{flag: "sft", key: "sft", help: "adapter of the reference policy, `FILE`", list: true},
		{flag: "train", key: "train.path", help: "preferences to learn from, `FILE`", isPath: true},
		{flag: "held-out", key: "held_out.path", help: "held-out preferences, `FILE` (default: a tenth of them)",
			isPath: true},
		{flag: "theory", key: "theory", help: "how the data are read: a theory of reward, or custom (default)"},
		{flag: "recipe", key: "recipe", help: "how rows become pairs: cross, zip, one or rows"},
	}, sourceKeys("the data", "train", "held_out"), []keyFlag{
		{flag: "template", key: "template", help: "form of the conversations (default: that of the SFT adapter)"},
		anyStackFlag,
		{flag: "loss", key: "loss", help: "what is minimised, `NAME`: sigmoid, ipo, kto, orpo, simpo and others"},
		{flag: "beta", key: "beta", help: "price of leaving the reference policy, `B`"},
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
