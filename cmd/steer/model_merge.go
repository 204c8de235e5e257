package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"steer/app/export"
	"steer/app/workspace"
)

// mergeFlags are the flags of steer model merge.
type mergeFlags struct {
	convertFlags
	adapters []string
	scales   []string
	texts    []string
	kind     export.Type
	anyStack bool
	noKL     bool
	engine   workspace.EngineConfig
}

func newModelMergeCommand(a *app) *cobra.Command {
	f := mergeFlags{kind: export.Same, engine: workspace.DefaultEngine()}
	cmd := &cobra.Command{
		Use: "merge BASE --adapter FILE -o FILE", Short: "Write a model with adapters in its weights",
		Long: `Adds adapters to the weights of their base, matrix by matrix, and stores the result
in the type that each matrix has (same) or in another. Storing in few bits can lose
what an adapter changed, as its changes are small. So the merged model is compared
with the unmerged one on texts: KL divergence of the next token, in nats, mean and
largest, beside the one from the base, which is what the adapters do.`,
		Example: `  steer model merge base.gguf --adapter sft.gguf --adapter policy.gguf \
      --type q8_0 -o merged.gguf`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, base []string) error {
			f.model = base[0]
			return a.mergeModel(cmd.Context(), &f)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.adapters, "adapter", "a", nil,
		"adapter, GGUF `FILE` or PEFT folder, on those before it; may be repeated")
	flags.StringVarP(&f.out, "out", "o", "", "GGUF `FILE` to write")
	flags.BoolVar(&f.force, "force", false, "overwrite what is there")
	enumVar(flags, &f.kind, "type", "type of the matrices")
	bindScales(cmd, &f.scales)
	flags.StringArrayVar(&f.texts, "text", nil,
		"`FILE` of text to compare the models on, - for standard input; may be repeated (default: three built-in "+
			"texts)")
	flags.BoolVar(&f.noKL, "no-kl", false, "do not compare the merged model with the unmerged one")
	flags.BoolVar(&f.anyStack, "any-stack", false, anyStackHelp)
	flags.IntVar(&f.engine.Threads, "threads", 0, "compute threads (0: one for each CPU allowed)")
	return cmd
}

func (a *app) mergeModel(ctx context.Context, f *mergeFlags) error {
	if len(f.adapters) == 0 {
		return usagef("--adapter: want an adapter to merge")
	}
	if f.out == "" {
		return usagef("--out: want a path to write to")
	}
	scales, err := parseScales(f.scales, len(f.adapters))
	if err != nil {
		return err
	}
	texts, err := a.sampleTexts(f.texts)
	if err != nil {
		return err
	}
	if err := f.refuse(); err != nil {
		return err
	}
	stack := export.Stack{Model: f.model, Paths: f.adapters, Scales: scales, Any: f.anyStack, Hashes: a.hashes}
	if same, err := sameFile(f.model, f.out); err != nil || same {
		return usagef("--out: want another file than the base")
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	r, err := stack.Merge(ctx, f.out, f.kind)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s: %s in %d matrices, type %s\n", f.out, count(r.Adapters, "adapter"), r.Merged, f.kind)
	a.notices(r.Notes)
	if f.noKL {
		return nil
	}
	kl, err := stack.Measure(ctx, f.out, texts, f.engine)
	if err != nil {
		return fmt.Errorf("%s is written; comparing it with the unmerged model: %w", f.out, err)
	}
	return printFidelity(a, kl)
}

func printFidelity(a *app, f *export.Fidelity) error {
	var t table
	t.add("KL(unmerged || merged)", "%.3g nats a token on average, %.3g at most, over %d tokens", f.Loss.Mean,
		f.Loss.Max, f.Loss.Tokens)
	t.add("KL(unmerged || base)", "%.3g on average, %.3g at most: what the adapters do", f.Change.Mean, f.Change.Max)
	if err := t.write(a.out); err != nil {
		return err
	}
	if f.Lost() {
		fmt.Fprintf(a.err, "warning: the merged model is %.0f %% as far from the unmerged one as the base is: storing "+
			"it so lost much of what the adapters do; choose a --type of more bits (f32 has most), or keep the "+
			"adapter beside the base\n", 100*f.Loss.Mean/f.Change.Mean)
	}
	return nil
}

// sampleTexts reads the texts that models are compared on.
func (a *app) sampleTexts(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return export.SampleTexts, nil
	}
	var out []string
	for _, p := range paths {
		var text []byte
		var err error
		if p == "-" {
			text, err = io.ReadAll(a.in)
		} else {
			text, err = os.ReadFile(p)
		}
		if err != nil {
			return nil, fmt.Errorf("--text: %w", err)
		}
		out = append(out, string(text))
	}
	return out, nil
}

// sameFile tells whether two paths are one file.
func sameFile(a, b string) (bool, error) {
	sa, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	sb, err := os.Stat(b)
	return err == nil && os.SameFile(sa, sb), nil
}
