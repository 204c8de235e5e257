package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/jobs"
)

// evalFlags are the flags of "steer eval" beside those of every stage.
type evalFlags struct {
	stageFlags
	adapters, rewards, taskData []string
	listing, asJSON             bool
}

func newEvalCommand(a *app) *cobra.Command {
	var f evalFlags
	suites := strings.Join(jobs.SuiteName("").Values(), ", ")
	cmd := &cobra.Command{
		Use: "eval [JOB.yaml]", GroupID: "stage", Short: "Run benchmarks for a base plus adapters",
		Long: `Measures a base model and stacks of adapters on it, and reward models, on the
benchmarks that a job or a suite names. See docs/eval.md.

A suite (` + suites + `) says which benchmarks are run, with which options,
and finds their data below --data, in the folders and under the names of the
official releases. What is not there is named with where it comes from, and noted
in the result. --list shows all of them, and which data are there.

Ctrl-C stops at once and loses the batch that is being computed; the same
command goes on from there, and ends in the same numbers. So does one after a
crash. A change of the job measures again what it touches, and nothing else.`,
		Example: `  steer eval --suite thesis --model base.gguf --data data \
      --adapter sft=runs/sft/adapter.gguf \
      --adapter virtue=runs/sft/adapter.gguf,runs/ppo-virtue/adapter.gguf \
      --reward virtue=runs/sft/adapter.gguf,runs/reward-virtue/adapter.gguf
  steer eval --suite full --model base.gguf --data data --limit 50 -o runs/look
  steer eval eval.yaml -o runs/eval
  steer eval --list --data data`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			if f.listing {
				data, err := cmd.Flags().GetString("data")
				if err != nil {
					return err
				}
				return f.list(a, data)
			}
			if f.asJSON {
				return usagef("--json: goes with --list")
			}
			job, base, err := f.fill(cmd, file, jobs.EvalMethod())
			if err != nil {
				return err
			}
			j := job.(*jobs.Eval)
			if err := errors.Join(f.models(j), f.data(j)); err != nil {
				return err
			}
			return a.runStage(cmd.Context(), &f.stageFlags, job, base)
		},
	}
	f.bind(cmd, jobs.EvalMethod(), []keyFlag{
		{flag: "data", key: "data", help: "`FOLDER` with the data of the suite", isPath: true},
		{flag: "limit", key: "limit", help: "a quick look at the first `N` items of every benchmark"},
		{flag: "template", key: "template", help: "form of the prompts (default: that of the adapters)"},
		anyStackFlag,
		{flag: "task", key: "tasks", help: "task of your own, a YAML `FILE` (docs/tasks.md); may be repeated",
			list: true},
		{flag: "apply-chat-template", key: "apply_chat_template", isBool: true,
			help: "ask the --task files in the template of the model"},
		{flag: "fewshot-as-multiturn", key: "fewshot_as_multiturn", isBool: true,
			help: "few-shot examples as turns (default: where the template is applied)"},
		{flag: "system-instruction", key: "system_instruction", help: "`TEXT` before the description of a --task file"},
		{flag: "wsc273", key: "wsc273.path", help: "WSCollection.xml", isPath: true},
		{flag: "toxigen", key: "toxigen.path", help: "annotated CSV of ToxiGen", isPath: true},
		{flag: "scruples", key: "scruples.path", help: "Scruples anecdotes", isPath: true},
		{flag: "seed", key: "seed", help: "seed of resamples and sampling"},
	})
	flags := cmd.Flags()
	flags.BoolVar(&f.listing, "list", false, "list suites and benchmarks, and which of their data are there")
	flags.BoolVar(&f.asJSON, "json", false, "with --list: print JSON")
	flags.StringVar(&f.preset, "suite", "", "set of benchmarks: "+suites)
	flags.StringArrayVar(&f.adapters, "adapter", nil,
		"model under test, `NAME=FILE[,FILE]`: its adapters from the lowest up; may be repeated")
	flags.StringArrayVar(&f.taskData, "task-data", nil, "data of a task, `NAME[:SPLIT]=FILE`; may be repeated")
	flags.StringArrayVar(&f.rewards, "reward", nil,
		"reward model, `NAME=FILE[,FILE]`: from the lowest adapter up, the last with the head; may be repeated")
	return cmd
}

// data names the data files of tasks as flags do.
func (f *evalFlags) data(job *jobs.Eval) error {
	for _, text := range f.taskData {
		name, file, err := jobs.ParseTaskData(text)
		if err != nil {
			return usage(fmt.Errorf("--task-data: %w", err))
		}
		if job.TaskData == nil {
			job.TaskData = map[string]string{}
		}
		job.TaskData[name] = file
	}
	return nil
}

// models adds the models that flags name to the job's.
func (f *evalFlags) models(job *jobs.Eval) error {
	for _, text := range f.adapters {
		s, err := jobs.ParseSubject(text)
		if err != nil {
			return usage(fmt.Errorf("--adapter: %w", err))
		}
		job.Subjects = append(job.Subjects, s)
	}
	for _, text := range f.rewards {
		r, err := jobs.ParseReward(text)
		if err != nil {
			return usage(fmt.Errorf("--reward: %w", err))
		}
		job.Rewards = append(job.Rewards, r)
	}
	return nil
}
