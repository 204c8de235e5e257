package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/source"
	"steer/app/speed"
	"steer/ggml"
	"steer/ggml/modelfile"
	"steer/internal/atomicfile"
)

type benchFlags struct {
	spec      speed.Spec // what all jobs share
	jobs      []string
	sequences []int
	shape     string
	typ       string
	family    string
	cache     string
	format    string
	asJSON    bool
	child     bool
}

func newBenchCommand(a *app) *cobra.Command {
	f := benchFlags{spec: speed.Default(speed.JobRollout)}
	f.spec.New = 0
	cmd := &cobra.Command{
		Use: "bench --model FILE | --shape NAME", GroupID: "speed",
		Short: "Measure speed and memory of the engine",
		Long: `Measures on a GGUF file, or on random weights in the shape of a known model:

  train       a training step with layer checkpointing, AdamW included
  train-keep  the same with all activations kept
  score       log-probabilities of given tokens, LoRA on
  rollout     sampling, LoRA on; one job for each number of --sequences
  group       sampling, --group answers to each of --episodes prompts, which
              are read once; and, for comparison, once for each answer
  ppo         a PPO iteration: rollout, reward, log-probabilities, updates
  grpo        a GRPO iteration: --episodes prompts, --group answers to each
  dpo         a DPO step on --episodes pairs, the reference known
  kernels     the frozen linear layers alone, --tokens rows

Each job runs in a process of its own, so that its peak memory is its own. The
share of peak is that of what this CPU reaches in a loop that touches registers
only, in bf16 where the kernels multiply in bf16, else in f32; on a GPU, of what
products of large matrices reach. Memory on a GPU includes the driver's own.

Of a model that can be used, not trained, score, rollout and group are
measured, without LoRA.`,
		Example: `  steer bench -m base.gguf
  steer bench --shape llama-2-7b --type q4_k_m --cache ~/.cache/steer/bench \
      --jobs train,rollout --sequences 1,32 --steps 3
  steer bench -m base.gguf --jobs train --format gobench > new.txt`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.cancellable(cmd.Context())
			defer cancel()
			if f.child {
				return a.benchChild(ctx)
			}
			if err := a.locate(cmd.Context(), source.Model, "--model", &f.spec.Model); err != nil {
				return err
			}
			named := cmd.Flags().Changed("jobs")
			if !named {
				f.jobs = speed.Job("").Values()
			}
			if err := f.leaveOut(a, named); err != nil {
				return err
			}
			specs, err := f.specs()
			if err != nil {
				return usage(err)
			}
			return a.bench(ctx, &f, specs)
		},
	}
	f.bind(cmd)
	return cmd
}

func (f *benchFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.spec.Model, "model", "m", "", "measure on this GGUF `FILE`")
	flags.StringVar(&f.shape, "shape", "",
		"or on random weights in the shape of `NAME`: "+strings.Join(speed.ShapeNames(), ", "))
	flags.StringVar(&f.typ, "type", "q8_0", "quantization of --shape, `NAME`: "+strings.Join(speed.TypeNames(), ", "))
	flags.StringVar(&f.family, "family", "llama", "architecture of --shape, `NAME`: "+
		strings.Join(speed.Families(), ", "))
	flags.StringVar(&f.cache, "cache", "", "keep the file of --shape in `DIR` for the next time")
	flags.StringSliceVar(&f.jobs, "jobs", nil, "what to measure, `LIST` (default: all of these)")
	flags.IntVar(&f.spec.Batch, "batch", f.spec.Batch, "sequences of a training or scoring step")
	flags.IntVar(&f.spec.MicroBatch, "micro-batch", f.spec.MicroBatch,
		"sequences of --batch that train at once, gradients added up (0: all)")
	flags.IntVar(&f.spec.Tokens, "tokens", f.spec.Tokens, "tokens of each sequence; rows of the kernels job")
	flags.IntSliceVar(&f.sequences, "sequences", []int{f.spec.Sequences}, "sequences sampled at once, `LIST`")
	flags.IntVar(&f.spec.Prompt, "prompt", f.spec.Prompt, "tokens of a prompt")
	flags.IntVar(&f.spec.New, "new", 0, "tokens of a response (0: 128 of a rollout, else 64)")
	flags.IntVar(&f.spec.Episodes, "episodes", f.spec.Episodes, "episodes of ppo, prompts of group and grpo, pairs "+
		"of dpo")
	flags.IntVar(&f.spec.Epochs, "epochs", f.spec.Epochs, "epochs of a PPO or GRPO iteration")
	flags.IntVar(&f.spec.Group, "group", f.spec.Group, "answers to a prompt of group and grpo")
	flags.IntVar(&f.spec.Rank, "rank", f.spec.Rank, "LoRA rank")
	flags.StringSliceVar(&f.spec.Targets, "targets", nil, "LoRA targets, `LIST` (default: all linears)")
	flags.IntVar(&f.spec.Steps, "steps", f.spec.Steps, "measured steps of a job")
	flags.IntVar(&f.spec.Warmup, "warmup", f.spec.Warmup, "steps before them")
	flags.StringVar((*string)(&f.spec.Device), "device", string(ggml.CPU), deviceHelp)
	flags.IntVar(&f.spec.Threads, "threads", 0, "compute threads (0: one for each CPU allowed)")
	flags.StringVar(&f.spec.Kernel, "kernel", "",
		"CPU kernels, `NAME`: portable, avx2, avx512, avx512bf16 (default: the best)")
	enumVar(flags, &f.spec.Precision, "precision", "of the frozen matrices")
	flags.Uint64Var(&f.spec.Seed, "seed", 0, "of everything random")
	flags.BoolVar(&f.spec.Profile, "profile", false, "show the time of each operation, where the engine measures it")
	flags.StringVar(&f.format, "format", "table", "table, json or gobench (for benchstat)")
	flags.BoolVar(&f.asJSON, "json", false, "the same as --format json")
	flags.BoolVar(&f.child, "child", false, "measure the one job that is described on standard input")
	_ = flags.MarkHidden("child") // fails for an unknown flag only
}

// leaveOut takes away the jobs that a model which cannot be trained has no part in, aloud; those that were
// asked for by name are refused.
func (f *benchFlags) leaveOut(a *app, named bool) error {
	if f.spec.Model == "" {
		return nil
	}
	reason := modelfile.Trainable(f.spec.Model)
	if reason == nil {
		return nil
	}
	var kept, out []string
	for _, job := range f.jobs {
		if speed.Job(job).Trains() {
			out = append(out, job)
		} else {
			kept = append(kept, job)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if named {
		return fmt.Errorf("--jobs %s: %w: of the jobs, score, rollout and group are measured on it",
			strings.Join(out, ","), reason)
	}
	f.jobs = kept
	a.console().Progress.Note("not measured: " + strings.Join(out, ", ") + ", since this model cannot be trained")
	return nil
}

// specs are the jobs asked for; everything that can be refused is, before any runs.
func (f *benchFlags) specs() ([]speed.Spec, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f.asJSON {
		f.format = "json"
	}
	if f.format != "table" && f.format != "json" && f.format != "gobench" {
		bad("--format %q: want table, json or gobench", f.format)
	}
	switch {
	case (f.spec.Model == "") == (f.shape == ""):
		bad("want --model or --shape, and one of them only")
	case f.shape != "":
		errs = append(errs, speed.CheckSynthetic(f.shape, f.typ, f.family))
	default:
		errs = append(errs, exists("model", f.spec.Model))
	}
	if len(f.jobs) == 0 || len(f.sequences) == 0 {
		bad("--jobs and --sequences: want at least one")
	}
	if err := ggml.ForceKernel(f.spec.Kernel); err != nil {
		bad("--kernel: %w: want portable, avx2, avx512 or avx512bf16, where the CPU has it", err)
	}
	errs = append(errs, ggml.ForceKernel(""))
	var jobs []speed.Job
	for _, job := range f.jobs {
		jobs = append(jobs, speed.Job(job))
	}
	specs := f.spec.Expand(jobs, f.sequences)
	for i := range specs {
		if err := specs[i].Validate(); err != nil {
			errs = append(errs, err)
			break // the next ones share the mistake
		}
	}
	return specs, errors.Join(errs...)
}

// bench measures the jobs one after the other and prints the report.
func (a *app) bench(ctx context.Context, f *benchFlags, specs []speed.Spec) (err error) {
	if f.shape != "" {
		dir := f.cache
		if dir == "" {
			var remove func() error
			if dir, remove, err = atomicfile.TempDir("", "steer-bench-"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, remove()) }()
		}
		model, err := speed.Synthetic(dir, f.shape, f.typ, f.family)
		if err != nil {
			return err
		}
		for i := range specs {
			specs[i].Model = model
		}
	}
	report := speed.NewReport(version)
	notices := a.console().Progress
	for _, s := range specs {
		notices.Note("measuring " + s.Label())
		r, err := benchProcess(ctx, s)
		if err != nil {
			return err
		}
		report.Jobs = append(report.Jobs, r)
		if s.Profile && len(r.Ops) == 0 && s.Job != speed.JobKernels {
			notices.Note(s.Label() + ": the engine measured no single operations")
		}
	}
	switch f.format {
	case "json":
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	case "gobench":
		return report.WriteGoBench(a.out)
	}
	return report.WriteTable(a.out)
}

// benchProcess measures a job in a process of its own: this program.
func benchProcess(ctx context.Context, s speed.Spec) (*speed.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r, err := speed.MeasureIn(ctx, []string{self, "bench", "--child"}, "steer: ", s)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("bench: %w", err)
	}
	return r, err
}

// benchChild is the measuring process.
func (a *app) benchChild(ctx context.Context) error {
	var s speed.Spec
	if err := json.NewDecoder(a.in).Decode(&s); err != nil {
		return usagef("bench --child: standard input: want a job in JSON: %w", err)
	}
	r, err := speed.Measure(ctx, s)
	if err != nil {
		return err
	}
	return json.NewEncoder(a.out).Encode(r)
}
