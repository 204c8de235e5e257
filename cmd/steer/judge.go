package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/jobs"
	"steer/rewards/constitution"
)

// judgeFlags are the flags of "steer judge" beside those of every stage.
type judgeFlags struct {
	stageFlags
	policies []string
	texts    bool
}

func newJudgeCommand(a *app) *cobra.Command {
	var f judgeFlags
	texts := strings.Join(constitution.Names(), ", ")
	cmd := &cobra.Command{
		Use: "judge [JOB.yaml]", GroupID: "stage", Short: "Let a model compare answers under a text",
		Long: `Asks a model which of two answers is better by a constitution: a theory stated in
words, or a text of your own. Both orders are asked, and the judgement is read
off the log-probabilities of A and B. What it prefers becomes judged.jsonl, which
reward and dpo take. How often it agrees with the labels of the pairs, and how
much it prefers a place, is measured and said. See docs/judge.md.

The answers come from a file of pairs (all that reward and dpo read, ETHICS and
hh-rlhf among them) or of several answers to each prompt, or are sampled here:
--prompts, and a --policy or several.

Texts that come with steer: ` + texts + `
(--texts prints them, with their sources).

Ctrl-C stops at once and loses the batch that is being computed; the same
command goes on from there, and ends with the same bytes. Another --min-margin or
--consistent asks nothing again.`,
		Example: `  steer judge -m base.gguf --constitution virtue --pairs two-answers.jsonl
  steer judge -m base.gguf --constitution deontology \
      --pairs deontology_test.csv -o runs/judge
  steer judge -m base.gguf --constitution rules.txt --prompts prompts.jsonl \
      --policy sft=runs/sft/adapter.gguf --samples 4
  steer dpo -m base.gguf --train runs/judge/judged.jsonl`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			if f.texts {
				return a.printTexts()
			}
			job, base, err := f.fill(cmd, file, jobs.JudgeMethod())
			if err != nil {
				return err
			}
			j := job.(*jobs.Judge)
			own := slices.Contains(constitution.Names(), j.Constitution)
			if cmd.Flags().Changed("constitution") && !own {
				if j.Constitution, err = filepath.Abs(j.Constitution); err != nil {
					return err
				}
			}
			for _, text := range f.policies {
				p, err := jobs.ParseJudgedPolicy(text)
				if err != nil {
					return usage(fmt.Errorf("--policy: %w", err))
				}
				j.Sampled.Policies = append(j.Sampled.Policies, p)
			}
			return a.runStage(cmd.Context(), &f.stageFlags, job, base)
		},
	}
	f.bind(cmd, jobs.JudgeMethod(), slices.Concat([]keyFlag{
		{flag: "constitution", key: "constitution", help: "text to judge by: one of steer's, or a `FILE`"},
		{flag: "pairs", key: "pairs.path", help: "answers to compare, `FILE`", isPath: true},
		{flag: "theory", key: "theory", help: "how pairs are read, a theory of reward (default: as the format has it)"},
		{flag: "recipe", key: "recipe", help: "how rows become pairs: cross, zip, one or rows"},
		{flag: "prompts", key: "prompts.path", help: "prompts to sample answers to, `FILE`", isPath: true},
	}, sourceKeys("the file", "pairs", "prompts"), []keyFlag{
		{flag: "limit", key: "pairs.limit", also: []string{"prompts.limit"}, help: "take `N` pairs, or prompts"},
		{flag: "samples", key: "samples", help: "`N` answers of each policy to a prompt"},
		{flag: "max-new", key: "max_new_tokens", help: "`N` tokens of an answer at most"},
		{flag: "temperature", key: "temperature", help: "`T` of sampling"},
		{flag: "adapter", key: "adapters", help: "adapter of the judge, `FILE`; may be repeated", list: true},
		{flag: "template", key: "template", help: "form of the question (default: that of the adapters)"},
		anyStackFlag,
		{flag: "min-margin", key: "min_margin", help: "least log-odds that decides, `NATS`"},
		{flag: "consistent", key: "consistent", help: "leave out pairs whose two orders disagree", isBool: true},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	}))
	cmd.Flags().StringArrayVar(&f.policies, "policy", nil,
		"policy that answers, `NAME[=FILE[,FILE]]`: its adapters from the lowest up; may be repeated")
	cmd.Flags().BoolVar(&f.texts, "texts", false, "print the texts that come with steer, and stop")
	return cmd
}

// printTexts prints the texts that come with steer.
func (a *app) printTexts() error {
	for i, name := range constitution.Names() {
		text, err := constitution.Open(name)
		if err != nil {
			return err
		}
		lines := []string{}
		if i > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, name, "")
		for line := range strings.Lines(text.Text) {
			lines = append(lines, indented(strings.TrimSpace(line))...)
		}
		lines = append(lines, "")
		for _, s := range text.Sources {
			lines = append(lines, indented("Source: "+s)...)
		}
		if _, err := fmt.Fprintln(a.out, strings.Join(lines, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// indented is a line broken into some of at most 80 columns, two of them blank.
func indented(text string) []string {
	lines := wrap(text, 78)
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	return lines
}
