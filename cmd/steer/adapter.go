package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/inspect"
)

func newAdapterCommand(a *app) *cobra.Command {
	return newFamily("adapter", "Look at adapters, convert them from and to PEFT",
		newAdapterInspectCommand(a), newAdapterImportCommand(a), newAdapterExportCommand(a))
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
		RunE: func(_ *cobra.Command, path []string) error {
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

func newAdapterImportCommand(a *app) *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use: "import PEFT_DIR --model FILE -o FILE", Short: "Turn a PEFT folder into a LoRA GGUF file",
		Long: `Reads a PEFT folder (adapter_config.json, adapter_model.safetensors, perhaps
v_head.safetensors) and writes the LoRA GGUF file that steer, llama.cpp and Ollama
load. Exporting it again gives the same numbers, but for one kind of adapter: a
GGUF file has one alpha for all pairs, so where alpha_pattern or rsLoRA scales them
otherwise, B is multiplied by the difference; how many values that rounds is said.`,
		Example: `  steer adapter import peft-folder --model base.gguf -o adapter.gguf`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, dir []string) error {
			shape, err := f.check()
			if err != nil {
				return err
			}
			if st, err := os.Stat(dir[0]); err == nil && !st.IsDir() {
				return fmt.Errorf("%s is a file: want a PEFT folder; a LoRA GGUF file needs no import", dir[0])
			}
			host, err := adapter.LoadFor(dir[0], shape)
			if err != nil {
				return err
			}
			if err := f.refuse(); err != nil {
				return err
			}
			if err := host.Save(f.out); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s parameters of rank %s\n", f.out, grouped(host.NumParams()), ranksText(host))
			for _, n := range host.Notices {
				fmt.Fprintf(a.err, "notice: %s: %s\n", dir[0], n)
			}
			if _, known := host.TrainedOn(); !known {
				fmt.Fprintf(a.err, "notice: %s does not say on which adapters it was trained: whether a stack is "+
					"right cannot be checked for it\n", dir[0])
			}
			if host.Rounded > 0 {
				fmt.Fprintf(a.out, "its pairs are scaled by different alphas, a GGUF file has one: %s values of B were rounded to carry the difference\n",
					grouped(host.Rounded))
			}
			return nil
		},
	}
	f.bind(cmd, "LoRA GGUF `FILE` to write")
	return cmd
}

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
		RunE: func(_ *cobra.Command, path []string) error {
			shape, err := f.check()
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
func (f *convertFlags) check() (adapter.Shape, error) {
	if f.model == "" {
		return adapter.Shape{}, usagef("--model: want the base model, a GGUF file: the rows of q and k are stored in an order that depends on its heads")
	}
	if f.out == "" {
		return adapter.Shape{}, usagef("--out: want a path to write to")
	}
	if err := f.refuse(); err != nil {
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

// needModel says which flag a PEFT folder cannot be read without.
func needModel(err error) error {
	if errors.Is(err, adapter.ErrNeedShape) {
		return usagef("%w: name the base with --model", err)
	}
	return err
}
