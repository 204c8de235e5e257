package main

import (
	"errors"

	"github.com/spf13/cobra"

	"steer/app/inspect"
	"steer/app/source"
	"steer/ggml/adapter"
)

func newAdapterCommand(a *app) *cobra.Command {
	return newFamily("adapter", "Look at adapters, join them, convert them from and to PEFT",
		newAdapterInspectCommand(a), newAdapterCombineCommand(a), newAdapterImportCommand(a),
		newAdapterExportCommand(a))
}

func newAdapterInspectCommand(a *app) *cobra.Command {
	var model string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect PATH", Short: "Describe an adapter: rank, scale, targets, head, metadata",
		Long: `Describes a LoRA adapter, a GGUF file or a PEFT folder. With --model it also
checks that the adapter fits that base; a PEFT folder can only be read with it.`,
		Example: `  steer adapter inspect runs/sft/adapter.gguf
  steer adapter inspect peft-folder --model base.gguf --json`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, path []string) error {
			if err := errors.Join(a.locate(cmd.Context(), source.Adapter, "PATH", &path[0]),
				a.locate(cmd.Context(), source.Model, "--model", &model)); err != nil {
				return err
			}
			d, err := inspect.DescribeAdapter(path[0], model, a.hashes)
			if err != nil {
				return needModel(err)
			}
			if asJSON {
				return writeJSON(a.out, d)
			}
			return printAdapter(a.out, d)
		},
	}
	cmd.Flags().StringVarP(&model, "model", "m", "", "base model, a GGUF `FILE`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// needModel says which flag a PEFT folder cannot be read without.
func needModel(err error) error {
	if errors.Is(err, adapter.ErrNeedShape) {
		return usagef("%w: name the base with --model", err)
	}
	return err
}
