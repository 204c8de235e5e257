package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"steer/internal/conf"
	"steer/internal/experiment"
	"steer/internal/jobs"
	"steer/internal/plan"
	"steer/internal/run"
	"steer/internal/workspace"
)

// stageFlags are the flags that the four stage commands share. A job file gives the
// configuration, flags that name a key override it, --set any other key.
type stageFlags struct {
	out, preset string
	set         []string
	dry, fresh  bool
	memory      memoryFlags
	keys        []keyFlag
}

// keyFlag is a flag that stands for a configuration key.
type keyFlag struct {
	flag, key, help string
	short           string // of one letter
	isBool, list    bool
	unless          string // key that overrules this one unless it is 0
	text            string
	on              bool
	items           []string
}

// anyStackFlag is the flag of modelFlags as the jobs have it.
var anyStackFlag = keyFlag{flag: "any-stack", key: workspace.AnyStack, help: anyStackHelp, isBool: true}

func (f *stageFlags) bind(cmd *cobra.Command, m jobs.Method, keys []keyFlag) {
	f.keys = append([]keyFlag{
		{flag: "model", short: "m", key: "model", help: "base model, a GGUF `FILE`"},
		{flag: "device", key: "engine.device", help: deviceHelp},
		{flag: "threads", key: "engine.threads", help: "`N` compute threads (0: one for each CPU allowed)"},
		{flag: "precision", key: "engine.precision", help: "arithmetic of the frozen matrices, `NAME`: bf16 or f32"},
	}, keys...)
	flags := cmd.Flags()
	for i := range f.keys {
		k := &f.keys[i]
		switch {
		case k.isBool:
			flags.BoolVar(&k.on, k.flag, false, k.help)
		case k.list:
			flags.StringArrayVar(&k.items, k.flag, nil, k.help)
		default:
			flags.StringVarP(&k.text, k.flag, k.short, "", k.help)
		}
	}
	flags.StringVarP(&f.out, "out", "o", "", "run `FOLDER` (default: runs/<stage>)")
	if m.PresetKey == "preset" {
		flags.StringVar(&f.preset, "preset", "", "default or thesis: what to start from")
	}
	flags.StringArrayVar(&f.set, "set", nil, "override a key, `KEY=VALUE`; may be repeated")
	flags.BoolVar(&f.dry, "dry-run", false, "print the resolved configuration and stop")
	flags.BoolVar(&f.fresh, "fresh", false, "forget an earlier run in the folder")
	f.memory.bind(cmd)
}

// fill makes a job of a method: from its preset, then the job file, if there is one, then the flags.
// Paths in the file are relative to dir.
func (f *stageFlags) fill(cmd *cobra.Command, file []string, m jobs.Method) (job jobs.Job, dir string, err error) {
	var raw []byte
	preset := ""
	if len(file) == 1 {
		if raw, err = os.ReadFile(file[0]); err != nil {
			return nil, "", err
		}
		if preset, _, err = conf.Lookup(file[0], raw, m.PresetKey); err != nil {
			return nil, "", usage(err)
		}
		if dir, err = filepath.Abs(filepath.Dir(file[0])); err != nil {
			return nil, "", err
		}
	} else if dir, err = os.Getwd(); err != nil {
		return nil, "", err
	}
	key := m.PresetKey
	if text, ok := conf.Overridden(f.set, key); ok {
		if f.preset != "" && f.preset != text {
			return nil, "", usagef("--%s %s and --set %s=%s contradict each other: give one of them", key, f.preset, key,
				text)
		}
		preset = text
	}
	if f.preset != "" {
		preset = f.preset
	}
	if job, err = m.New(preset); err != nil {
		return nil, "", usage(err)
	}
	if raw != nil {
		if err := conf.Parse(file[0], raw, job); err != nil {
			if section := experiment.SectionOf(file[0], raw); section != "" {
				return nil, "", usagef("%s: this is an experiment, not the job of one stage (it has the section %q): "+
					"\"steer run %s\" runs all of its stages, and \"steer run %s --dry-run\" prints the job of each",
					file[0], section, file[0], file[0])
			}
			return nil, "", usage(err)
		}
	}
	set := func(overrides []string) error {
		for _, o := range overrides {
			if err := conf.Set(job, o); err != nil {
				return usage(err)
			}
		}
		return nil
	}
	overrides := slices.Clone(f.set)
	if m.PresetKey != "preset" && f.preset != "" {
		overrides = append(overrides, m.PresetKey+"="+f.preset)
	}
	if err := set(overrides); err != nil {
		return nil, "", err
	}
	if err := f.setKeys(cmd, job); err != nil {
		return nil, "", usage(err)
	}
	if err := f.agree(cmd, job, func() error { return set(f.set) }); err != nil {
		return nil, "", err
	}
	return job, dir, f.heeded(cmd, job)
}

// heeded is an error if a flag stands for a key that another one overrules.
func (f *stageFlags) heeded(cmd *cobra.Command, job any) error {
	for _, k := range f.keys {
		if k.unless == "" || !cmd.Flags().Changed(k.flag) {
			continue
		}
		raw, err := conf.Marshal(job)
		if err != nil {
			return err
		}
		if value, _, err := conf.Lookup("", raw, k.unless); err != nil || value != "0" {
			return errors.Join(err,
				usagef("--%s %s: the run would end after %s %s whatever %s is: add --set %s=0, or leave --%s out",
					k.flag, k.text, k.unless, value, k.key, k.unless, k.flag))
		}
	}
	return nil
}

// setKeys puts the flags that stand for keys into job.
func (f *stageFlags) setKeys(cmd *cobra.Command, job any) error {
	for _, k := range f.keys {
		if !cmd.Flags().Changed(k.flag) {
			continue
		}
		var err error
		switch {
		case k.isBool:
			err = conf.Set(job, k.key+"="+strconv.FormatBool(k.on))
		case k.list:
			err = conf.SetList(job, k.key, absAll(k.items))
		case isPath(k.key):
			// Flags are relative to the working folder, keys to their file.
			err = conf.Set(job, k.key+"="+absAll([]string{k.text})[0])
		default:
			err = conf.Set(job, k.key+"="+k.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// agree is an error if --set says something else than the flags that stand for keys: set gives
// the job, which the flags were put into last, the values of --set once more.
func (f *stageFlags) agree(cmd *cobra.Command, job any, set func() error) error {
	if len(f.set) == 0 || !slices.ContainsFunc(f.keys, func(k keyFlag) bool { return cmd.Flags().Changed(k.flag) }) {
		return nil
	}
	flags, err := conf.Marshal(job)
	if err != nil {
		return err
	}
	if err := set(); err != nil {
		return err
	}
	both, err := conf.Marshal(job)
	if err != nil {
		return err
	}
	diff, err := conf.Diff(flags, both)
	if err != nil {
		return err
	}
	var wrong []string
	for _, c := range diff {
		for _, k := range f.keys {
			if cmd.Flags().Changed(k.flag) && (c.Key == k.key || strings.HasPrefix(c.Key, k.key+"[")) {
				wrong = append(wrong, fmt.Sprintf("--%s says %s: %s, --set says %s", k.flag, c.Key, c.Old, c.New))
			}
		}
	}
	if len(wrong) > 0 {
		return usagef("%s: give one of them", strings.Join(wrong, "; "))
	}
	return nil
}

func isPath(key string) bool {
	switch key {
	case "model", "reward", "init_adapter", "data":
		return true
	}
	return strings.HasSuffix(key, ".path")
}

func absAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if a, err := filepath.Abs(p); err == nil && p != "" {
			out[i] = a
		}
	}
	return out
}

// runStage resolves and runs a job in its folder.
func (a *app) runStage(ctx context.Context, f *stageFlags, job jobs.Job, base string) error {
	if err := job.Resolve(base, a.hashes); err != nil {
		return configError(experiment.WithSources(err))
	}
	if f.dry {
		raw, err := conf.Marshal(job)
		if err != nil {
			return err
		}
		_, err = a.out.Write(raw)
		return err
	}
	out := f.out
	if out == "" {
		out = filepath.Join("runs", job.Folder())
	}
	done, err := jobs.Finished(out, job)
	if errors.Is(err, run.ErrVersion) && !f.fresh {
		return err
	}
	if err == nil && done && !f.fresh {
		fmt.Fprintf(a.out, "%s: finished already, nothing that goes into it has changed (--fresh runs it again)\n", out)
		return nil
	}
	con := a.console()
	con.Memory = f.memory.MemoryLimit
	if err := plan.Run(ctx, job, con, filepath.Base(out), out, f.fresh, nil); err != nil {
		if errors.Is(err, run.ErrConfigChanged) {
			return fmt.Errorf("%w\nGo back to that configuration, name another folder with --out, "+
				"or start again with --fresh", err)
		}
		return err
	}
	fmt.Fprintf(a.out, "%s: done, see %s\n", job.Folder(), filepath.Join(out, run.ResultFile))
	if job.Kind() == jobs.EvalKind {
		fmt.Fprintf(a.out, "  steer report %s --format text    shows it\n", out)
	}
	return nil
}

func newSFTCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "sft [JOB.yaml]", GroupID: "stage", Short: "Fine-tune on instructions",
		Long: `Trains a LoRA adapter on conversations (guanaco, chat JSONL, ShareGPT,
Alpaca, prompt/completion) or on rows of token ids. Presets: default, thesis (see docs/sft.md).`,
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
	f.bind(cmd, jobs.SFTMethod(), []keyFlag{
		{flag: "train", key: "train.path", help: "training data `FILE`"},
		{flag: "eval", key: "eval.path", help: "held-out data `FILE`"},
		{flag: "template", key: "template", help: "model (its own, the default), chatml, guanaco, llama2, hh or plain; kept in the adapter"},
		{flag: "init-adapter", key: "init_adapter", help: "continue this adapter (GGUF or PEFT folder)"},
		anyStackFlag,
		{flag: "no-shuffle", key: "no_shuffle", help: "take the rows in the order given", isBool: true},
		{flag: "epochs", key: "epochs", help: "`N` passes over the data", unless: "max_steps"},
		{flag: "max-steps", key: "max_steps", help: "end after `N` optimizer steps (0: after the epochs)"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "mini_batch_size", help: "blocks or examples of an optimizer step, `N`"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	})
	return cmd
}

func newRewardCommand(a *app) *cobra.Command {
	var f stageFlags
	cmd := &cobra.Command{
		Use: "reward [JOB.yaml]", GroupID: "stage", Short: "Train a reward model",
		Long: `Trains a LoRA adapter with a scalar head on preference pairs of a theory:
deontology, utilitarianism, virtue, harmlessness, toxicity or custom pairs (see
docs/rewards.md).`,
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
	f.bind(cmd, jobs.RewardMethod(), []keyFlag{
		{flag: "theory", key: "theory", help: "deontology, utilitarianism, virtue, harmlessness, toxicity or custom"},
		{flag: "train", key: "train.path", help: "training data `FILE`"},
		{flag: "held-out", key: "held_out.path", help: "held-out data `FILE`"},
		{flag: "sft", key: "sft", help: "adapter below the reward adapter, `FILE`; may be repeated", list: true},
		{flag: "template", key: "template", help: "form of the conversations (default: that of the adapter below)"},
		{flag: "init-adapter", key: "init_adapter", help: "continue this adapter (GGUF or PEFT folder)"},
		anyStackFlag,
		{flag: "no-shuffle", key: "no_shuffle", help: "take the pairs in the order given", isBool: true},
		{flag: "epochs", key: "epochs", help: "`N` passes over the data", unless: "max_steps"},
		{flag: "max-steps", key: "max_steps", help: "end after `N` optimizer steps (0: after the epochs)"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "mini_batch_size", help: "pairs of an optimizer step, `N`"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	})
	return cmd
}

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
	f.bind(cmd, jobs.PPOMethod(), []keyFlag{
		{flag: "sft", key: "sft", help: "adapter of the reference policy, `FILE`", list: true},
		{flag: "reward", key: "reward", help: "reward adapter, `FILE`"},
		{flag: "reward-below", key: "reward_below", help: "adapter below the reward adapter, `FILE`; may be repeated", list: true},
		{flag: "prompts", key: "prompts.path", help: "conversations whose prompts are answered, `FILE`"},
		{flag: "held-out", key: "held_out.path", help: "held-out conversations, `FILE`"},
		{flag: "template", key: "template", help: "form of the prompts (default: that of the SFT adapter)"},
		anyStackFlag,
		{flag: "iterations", key: "iterations", help: "`N` rollout batches"},
		{flag: "epochs", key: "ppo_epochs", help: "`N` passes over each rollout batch"},
		{flag: "lr", key: "optim.lr", help: "learning `RATE` at its highest"},
		{flag: "rank", key: "lora.rank", help: "LoRA rank `R`; lora.alpha stays as it is"},
		{flag: "batch", key: "rollout_batch_size", help: "`N` episodes of a rollout batch; mini_batch_size divides it"},
		{flag: "seed", key: "seed", help: "seed of everything random, `N`"},
	})
	return cmd
}
