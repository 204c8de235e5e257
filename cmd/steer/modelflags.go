package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"steer/app/jobs"
	"steer/app/source"
	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
)

// deviceHelp is the help of every flag that names a device.
const deviceHelp = "where to compute: cpu, cuda, cuda:N or auto"

// modelFlags are the flags of the commands that use a model.
type modelFlags struct {
	model    string
	adapters []string
	anyStack bool
	engine   workspace.EngineConfig
}

// anyStackHelp is the help of every flag that allows another stack.
const anyStackHelp = "use adapters on others than they were trained on, with a warning instead of an error"

func (f *modelFlags) bind(cmd *cobra.Command) {
	f.engine = workspace.DefaultEngine()
	flags := cmd.Flags()
	flags.StringVarP(&f.model, "model", "m", "", "base model, a GGUF `FILE`")
	flags.StringArrayVarP(&f.adapters, "adapter", "a", nil,
		"adapter on top of the base and of those before it, GGUF `FILE` or PEFT folder; may be repeated")
	flags.BoolVar(&f.anyStack, "any-stack", false, anyStackHelp)
	flags.StringVar((*string)(&f.engine.Device), "device", string(f.engine.Device), deviceHelp)
	flags.IntVar(&f.engine.Threads, "threads", 0, "compute threads (0: one for each CPU allowed)")
}

// check refuses what can be refused before anything is loaded.
func (f *modelFlags) check(ctx context.Context, a *app) error {
	if f.model == "" {
		return usagef("--model: want the path of the base model, a GGUF file")
	}
	if err := f.engine.Device.Check(); err != nil {
		return usagef("--device: %v", err)
	}
	if f.engine.Threads < 0 || f.engine.Threads > 512 {
		return usagef("--threads: want 0 (one for each CPU) to 512, got %d", f.engine.Threads)
	}
	// Before anybody types a text for them.
	if err := a.locate(ctx, source.Model, "--model", &f.model); err != nil {
		return err
	}
	for i := range f.adapters {
		if err := a.locate(ctx, source.Adapter, "--adapter", &f.adapters[i]); err != nil {
			return err
		}
	}
	err := exists("model", f.model)
	for _, path := range f.adapters {
		err = errors.Join(err, exists("adapter", path))
	}
	return err
}

// exists is an error that names what is not there.
func exists(what, path string) error {
	if _, err := os.Stat(path); err != nil {
		return &fs.PathError{Op: what, Path: path, Err: errors.Unwrap(err)}
	}
	return nil
}

// open loads the model and the adapters for a use, "" for any, and says what was noticed; placed is what
// the adapters' files say. The caller closes the workspace.
func (f *modelFlags) open(con jobs.Console, use workspace.Use) (
	w *workspace.Workspace, stack []*ggml.Adapter, placed []adapter.Placed, err error) {
	if w, err = workspace.OpenToUse(f.model, f.engine); err != nil {
		return nil, nil, nil, err
	}
	w.Hashes = con.Hashes
	w.AnyStack = f.anyStack
	if stack, placed, err = w.LoadStack(f.adapters, use); err != nil {
		return nil, nil, nil, errors.Join(err, w.Close())
	}
	w.Notice(con.Progress)
	return w, stack, placed, nil
}
