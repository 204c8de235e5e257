package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"steer/app/source"
	"steer/ggml/adapter"
	"steer/ggml/modelfile"
)

// convertFlags are the flags of import and export.
type convertFlags struct {
	model, out string
	force      bool
}

func (f *convertFlags) bind(cmd *cobra.Command, out string) {
	cmd.Flags().StringVarP(&f.model, "model", "m", "", "base model of the adapter, a GGUF `FILE`")
	cmd.Flags().StringVarP(&f.out, "out", "o", "", out)
	cmd.Flags().BoolVar(&f.force, "force", false, "overwrite what is there")
}

// check reads the base's shape and refuses to begin what could not be written.
func (f *convertFlags) check(ctx context.Context, a *app) (adapter.Shape, error) {
	if f.model == "" {
		return adapter.Shape{}, usagef("--model: want the base model, a GGUF file: the rows of q and k are stored in " +
			"an order that depends on its heads")
	}
	if f.out == "" {
		return adapter.Shape{}, usagef("--out: want a path to write to")
	}
	if err := f.refuse(); err != nil {
		return adapter.Shape{}, err
	}
	if err := a.locate(ctx, source.Model, "--model", &f.model); err != nil {
		return adapter.Shape{}, err
	}
	return modelfile.Shape(f.model)
}

// refuse is an error when the output exists and --force was not given.
func (f *convertFlags) refuse() error {
	st, err := os.Stat(f.out)
	switch {
	case errors.Is(err, fs.ErrNotExist) || f.force:
		return nil
	case err != nil:
		return err
	case st.IsDir():
		entries, err := os.ReadDir(f.out)
		if err != nil || len(entries) == 0 {
			return err
		}
	}
	return fmt.Errorf("%s exists already: name another --out, or overwrite it with --force", f.out)
}
