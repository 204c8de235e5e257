package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"steer/app/export"
	"steer/ggml/adapter"
)

// exportFlags are the flags of steer adapter export.
type exportFlags struct {
	convertFlags
	format   export.Format
	baseName string
	kind     export.Type
	scales   []string
	anyStack bool
}

func newAdapterExportCommand(a *app) *cobra.Command {
	f := exportFlags{format: export.FormatPEFT, kind: export.Same}
	cmd := &cobra.Command{
		Use: "export ADAPTER... --model FILE -o PATH", Short: "Write an adapter for transformers or llama.cpp",
		Long: `Writes an adapter, or several that lie on each other joined into one, for other
programs:
  peft  a PEFT folder for transformers. A reward model's head becomes the score
        layer of a sequence classifier, a value head TRL's v_head.
  gguf  a LoRA GGUF file, for llama.cpp and Ollama. Heads stay in keys of ours.
  rank  a reward model for llama.cpp: the base with the adapters in its weights
        (--type) and the head. Of architecture qwen3, llama.cpp reads the head and
        ranks; of others it gives the hidden state of the last token, and the head
        is in the file's metadata.`,
		Example: `  steer adapter export runs/sft/adapter.gguf --model base.gguf -o sft-peft \
      --base-name meta-llama/Llama-2-13b-hf
  steer adapter export reward.gguf -m base.gguf --format rank -o rm.gguf`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, paths []string) error { return a.exportAdapter(cmd.Context(), paths, &f) },
	}
	f.bind(cmd, "`PATH` to write: a folder (peft) or a file")
	enumVar(cmd.Flags(), &f.format, "format", "what to write")
	cmd.Flags().StringVar(&f.baseName, "base-name", "",
		"base_model_name_or_path for the folder's configuration, `NAME`")
	enumVar(cmd.Flags(), &f.kind, "type", "type of the matrices of a rank file")
	bindScales(cmd, &f.scales)
	cmd.Flags().BoolVar(&f.anyStack, "any-stack", false, anyStackHelp)
	return cmd
}

func (a *app) exportAdapter(ctx context.Context, paths []string, f *exportFlags) error {
	scales, err := parseScales(f.scales, len(paths))
	if err != nil {
		return err
	}
	if _, err := f.check(ctx, a); err != nil {
		return err
	}
	stack := export.Stack{Model: f.model, Paths: paths, Scales: scales, Any: f.anyStack, Hashes: a.hashes}
	var host *adapter.Adapter
	var notes []string
	switch f.format {
	case export.FormatPEFT:
		host, notes, err = stack.PEFT(f.out, f.baseName)
	case export.FormatGGUF:
		host, notes, err = stack.GGUF(f.out)
	default:
		notes, err = stack.Rank(ctx, f.out, f.kind)
	}
	if err != nil {
		return err
	}
	if host != nil {
		fmt.Fprintf(a.out, "%s: %s parameters of rank %s\n", f.out, grouped(host.NumParams()), ranksText(host))
	} else {
		fmt.Fprintf(a.out, "%s: a reward model, type %s\n", f.out, f.kind)
	}
	a.notices(notes)
	return nil
}
