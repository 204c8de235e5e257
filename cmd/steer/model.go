package main

import (
	"github.com/spf13/cobra"

	"steer/app/inspect"
	"steer/app/source"
)

func newModelCommand(a *app) *cobra.Command {
	return newFamily("model", "Look at models, convert, quantize and merge them", newModelInspectCommand(a),
		newModelConvertCommand(a), newModelQuantizeCommand(a), newModelMergeCommand(a))
}

func newModelInspectCommand(a *app) *cobra.Command {
	var asJSON, tensors bool
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "Describe a GGUF model and tell whether steer can train it",
		Long: `Reads the header of a GGUF file, hashes the file and tries to load it:
architecture, size, shape, RoPE, tensor types, tokenizer, and whether steer can
train adapters on it; where not, why not. Warnings are what every command that
uses the model says.`,
		Example: `  steer model inspect llama-2-13b.Q4_K_M.gguf
  steer model inspect base.gguf --json | jq .trainable`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			if err := a.locate(cmd.Context(), source.Model, "FILE", &file[0]); err != nil {
				return err
			}
			m, err := inspect.DescribeModel(file[0], a.hashes)
			if err != nil {
				return err
			}
			if !tensors {
				m.Tensors = nil
			}
			if asJSON {
				return writeJSON(a.out, m)
			}
			return printModel(a.out, m)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&tensors, "tensors", false, "list every tensor with type and shape")
	return cmd
}
