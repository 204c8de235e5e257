package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/export"
)

func newAdapterCombineCommand(a *app) *cobra.Command {
	var f convertFlags
	var scales []string
	var anyStack, dropHead bool
	cmd := &cobra.Command{
		Use: "combine ADAPTER ADAPTER... -o FILE", Short: "Join adapters that lie on each other into one",
		Long: `Joins adapters of one base, lowest first, into one that adds what they add
together: a policy and the SFT adapter that it was trained on become one file.
Their ranks add up; nothing is approximated. Where the adapters' scales differ by
something that is no power of two, B carries the difference, rounded once to
float32, which is said. Ollama takes a single adapter; of two ADAPTER lines it
keeps the last and says nothing.

The topmost head is kept, --drop-head leaves it out. The file records the hashes of
what it is made of.`,
		Example: `  steer adapter combine runs/sft/adapter.gguf runs/ppo/adapter.gguf -o one.gguf
  steer adapter combine sft.gguf policy.gguf --scale 1,0.5 -o half.gguf`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, paths []string) error {
			if f.out == "" {
				return usagef("--out: want a path to write to")
			}
			by, err := parseScales(scales, len(paths))
			if err != nil {
				return err
			}
			if err := f.refuse(); err != nil {
				return err
			}
			stack := export.Stack{Model: f.model, Paths: paths, Scales: by, Any: anyStack, Hashes: a.hashes}
			c, notes, err := stack.Combine()
			if err != nil {
				return needModel(err)
			}
			if dropHead && c.Head != nil {
				c.Head = nil
				notes = append(notes, "every head is left out (--drop-head)")
			}
			if err := f.refuse(); err != nil {
				return err
			}
			if err := c.Save(f.out); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s, %s parameters of rank %s\n", f.out, count(len(paths), "adapter"),
				grouped(c.NumParams()),
				ranksText(c.Adapter))
			a.notices(notes)
			return nil
		},
	}
	f.bind(cmd, "LoRA GGUF `FILE` to write")
	cmd.Flags().Lookup("model").Usage = "base model, a GGUF `FILE`; needed for PEFT folders"
	bindScales(cmd, &scales)
	cmd.Flags().BoolVar(&anyStack, "any-stack", false, anyStackHelp)
	cmd.Flags().BoolVar(&dropHead, "drop-head", false, "leave the topmost head out, too")
	return cmd
}

// bindScales adds --scale.
func bindScales(cmd *cobra.Command, scales *[]string) {
	cmd.Flags().StringSliceVar(scales, "scale", nil,
		"what each adapter is multiplied by, `NUMBERS` with commas, in the adapters' order")
}

// parseScales reads --scale, one number for each adapter.
func parseScales(texts []string, adapters int) ([]float32, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	if len(texts) != adapters {
		return nil, usagef("--scale: want a number for each of the %d adapters, got %d", adapters, len(texts))
	}
	out := make([]float32, len(texts))
	for i, text := range texts {
		x, err := strconv.ParseFloat(strings.TrimSpace(text), 32)
		if err != nil || x-x != 0 {
			return nil, usagef("--scale: want numbers with commas, got %q", text)
		}
		out[i] = float32(x)
	}
	return out, nil
}

// notices prints what the user has to know of what was written.
func (a *app) notices(notes []string) {
	for _, n := range notes {
		fmt.Fprintf(a.err, "notice: %s\n", n)
	}
}
