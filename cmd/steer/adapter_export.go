package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"steer/ggml/adapter"
)

func newAdapterExportCommand(a *app) *cobra.Command {
	var f convertFlags
	var baseName string
	cmd := &cobra.Command{
		Use: "export ADAPTER --model FILE -o DIR", Short: "Turn a LoRA GGUF file into a PEFT folder",
		Long: `Writes an adapter as a PEFT folder for transformers. A reward model's head becomes
the score layer of LlamaForSequenceClassification, a value head TRL's v_head.`,
		Example: `  steer adapter export runs/sft/adapter.gguf --model base.gguf -o sft-peft \
      --base-name meta-llama/Llama-2-13b-hf`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, path []string) error {
			shape, err := f.check(cmd.Context(), a)
			if err != nil {
				return err
			}
			host, err := adapter.LoadFor(path[0], shape)
			if err != nil {
				return err
			}
			if err := f.refuse(); err != nil {
				return err
			}
			if err := adapter.ExportPEFT(host, f.out, shape, baseName); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s parameters of rank %s\n", f.out, grouped(host.NumParams()), ranksText(host))
			return nil
		},
	}
	f.bind(cmd, "PEFT `FOLDER` to write")
	cmd.Flags().StringVar(&baseName, "base-name", "", "base_model_name_or_path for the folder's configuration, `NAME`")
	return cmd
}
