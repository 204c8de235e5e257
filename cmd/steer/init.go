package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"steer/app/plan"
	"steer/app/proposal"
	"steer/app/source"
	"steer/internal/atomicfile"
	"steer/internal/hub"
)

// initFlags are the flags of "steer init".
type initFlags struct {
	model, out, name string
	data             []string
	force, noPlan    bool
	memory           memoryFlags
	reading          sourceFlags
}

func newInitCommand(a *app) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use: "init", GroupID: "pipeline", Short: "Write an experiment.yaml for a model and data of yours",
		Long: `Looks at a model and at data files, finds what each file is for by its format,
and writes a commented experiment for "steer run": template, lengths and batches
that suit them, and fit into memory.

Data files are conversations (fine-tuning, and prompts for the policies),
preference pairs (a reward model and a policy) or benchmarks; a second file of
one kind is held out. Without conversations the experiment names a set that
"steer fetch" knows.`,
		Example: `  steer init --model models/base.gguf --data chat.jsonl
  steer init --model base.gguf --data chat.jsonl --data pairs.jsonl -o mine.yaml
  steer run experiment.yaml`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.cancellable(cmd.Context())
			defer cancel()
			return f.run(ctx, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.model, "model", "m", "", "base model, a GGUF `FILE` (default: the only one in models)")
	flags.StringArrayVar(&f.data, "data", nil, "data `FILE`; may be repeated")
	flags.StringArrayVar(&f.reading.columns, "columns", nil,
		"column under another name, `NAME=COLUMN`, as in prompt=question, of files that have it; may be repeated")
	flags.BoolVar(&f.reading.drop, "drop-unsupported", false, dropHelp)
	flags.StringVarP(&f.out, "out", "o", "experiment.yaml", "`FILE` to write")
	flags.StringVar(&f.name, "name", "", "`NAME` of the experiment (default: the first data file's)")
	flags.BoolVar(&f.force, "force", false, "replace the file if it is there")
	flags.BoolVar(&f.noPlan, "no-plan", false, "do not look whether it fits into memory")
	flags.Var(sizeFlag{&f.memory.Bytes}, "memory", "most memory to take, such as 24GB (default: what is free)")
	return cmd
}

func (f *initFlags) run(ctx context.Context, a *app) error {
	if _, err := os.Stat(f.out); err == nil && !f.force {
		return usagef("%s is there already: choose another with --out, or --force replaces it", f.out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, err := filepath.Abs(filepath.Dir(f.out))
	if err != nil {
		return err
	}
	model, err := f.base()
	if err != nil {
		return err
	}
	names, err := f.locate(ctx, a, &model)
	if err != nil {
		return err
	}
	reading, err := f.reading.source("")
	if err != nil {
		return err
	}
	p, err := proposal.New(model, f.data, f.name, dir, reading)
	if err != nil {
		return err
	}
	progress := a.console().Progress
	for _, use := range p.Uses {
		progress.Note(use)
	}
	if err := p.Measure(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	switch {
	case p.ToFetch != "":
		progress.Note("not planned: its conversations are not there yet")
	case !f.noPlan:
		opt := plan.ForecastOptions{
			Memory: f.memory.MemoryLimit, Progress: func(stage string) { progress.Note("planning " + stage) },
		}
		if err := p.Plan(ctx, dir, filepath.Base(f.out), opt); err != nil {
			return err
		}
		progress.Note("planned: " + p.Planned)
	}
	p.Names = names
	if err := atomicfile.WriteFile(f.out, []byte(p.Write(dir, filepath.Base(f.out))), 0o666); err != nil {
		return err
	}
	if p.ToFetch != "" {
		fmt.Fprintf(a.out, "Wrote %s. It names conversations of the set %s:\n  steer fetch --for %s\n  steer run %s\n",
			f.out, p.ToFetch, f.out, f.out)
		return nil
	}
	fmt.Fprintf(a.out, "Wrote %s. Look at it, then:\n  steer run %s\n", f.out, f.out)
	return nil
}

// locate puts paths in place of the names of the hub, and gives those names by path, at their commits.
func (f *initFlags) locate(ctx context.Context, a *app, model *string) (names map[string]string, err error) {
	names = map[string]string{}
	finder := a.finder("")
	find := func(kind source.Kind, flag string, at *string) error {
		path, s, err := finder.Find(ctx, kind, *at, nil)
		if err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
		if s != nil {
			r, err := hub.Parse(s.Name)
			if err != nil {
				return err
			}
			*at, names[path] = path, r.At(s.Commit).With(s.File).String()
		}
		return nil
	}
	if err := find(source.Model, "model", model); err != nil {
		return nil, err
	}
	for i := range f.data {
		if err := find(source.Data, "data", &f.data[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// base is the model: the one that is named, or the only one in models.
func (f *initFlags) base() (string, error) {
	if f.model != "" {
		return f.model, nil
	}
	found, err := filepath.Glob(filepath.Join("models", "*.gguf"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", usagef("--model: want a GGUF file: there are %d in models "+
			"(\"steer fetch model\" brings the one of the experiments)", len(found))
	}
	return found[0], nil
}
