package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"steer/app/source"
	"steer/ggml/adapter"
)

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
		RunE: func(cmd *cobra.Command, dir []string) error {
			if err := a.locate(cmd.Context(), source.Adapter, "PEFT_DIR", &dir[0]); err != nil {
				return err
			}
			shape, err := f.check(cmd.Context(), a)
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
				fmt.Fprintf(a.out, "its pairs are scaled by different alphas, a GGUF file has one: %s values of B "+
					"were rounded to carry the difference\n",
					grouped(host.Rounded))
			}
			return nil
		},
	}
	f.bind(cmd, "LoRA GGUF `FILE` to write")
	return cmd
}
