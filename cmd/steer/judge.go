package main

import (
	"slices"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

func newJudgeCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "judge [JOB.yaml]", GroupID: "stage", Short: "Let a model compare answers under a text",
		Long: `Asks a model which of two answers is better by a constitution: a theory stated in
words, deontology, utilitarianism, virtue or harmlessness, or a text of your own.
Both orders are asked, and the judgement is read off the log-probabilities of A
and B. What it prefers becomes judged.jsonl, which reward and dpo take. How often
it agrees with the labels of the pairs, and how much it prefers a place, is
measured and said. See docs/judge.md.`,
		Example: `  steer judge -m base.gguf --constitution virtue --pairs two-answers.jsonl
  steer judge -m base.gguf --constitution deontology --theory deontology \
      --pairs deontology_test.csv -o runs/judge
  steer dpo -m base.gguf --train runs/judge/judged.jsonl`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			job, base, err := f.fill(cmd, file, jobs.JudgeMethod())
			if err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f, job, base)
		},
	}
	f.bind(cmd, jobs.JudgeMethod(), slices.Concat([]keyFlag{
		{flag: "constitution", key: "constitution", help: "text to judge by: a theory, or a `FILE`"},
		{flag: "pairs", key: "pairs.path", help: "pairs of answers, `FILE`", isPath: true},
		{flag: "theory", key: "theory", help: "how the pairs are read: a theory of reward, or custom (default)"},
		{flag: "recipe", key: "recipe", help: "how rows become pairs: cross, zip, one or rows"},
	}, sourceKeys("the pairs", "pairs"), []keyFlag{
		{flag: "adapter", key: "adapters", help: "adapter on the base, `FILE`; may be repeated", list: true},
		{flag: "template", key: "template", help: "form of the question (default: that of the adapters)"},
		anyStackFlag,
		{flag: "min-margin", key: "min_margin", help: "least log-odds that decides, `NATS`"},
		{flag: "consistent", key: "consistent", help: "leave out pairs whose two orders disagree", isBool: true},
		{flag: "limit", key: "pairs.limit", help: "judge `N` pairs"},
	}))
	return cmd
}
