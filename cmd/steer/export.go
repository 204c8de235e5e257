package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/export"
)

func newExportCommand(a *app) *cobra.Command {
	cmd := newFamily("export", "Make what other programs run", newExportOllamaCommand(a))
	cmd.GroupID = "use"
	return cmd
}

// ollamaFlags are the flags of steer export ollama.
type ollamaFlags struct {
	convertFlags
	adapters     []string
	scales       []string
	anyStack     bool
	system       string
	templateFile string
	kind         export.Type
	options      export.OllamaOptions
}

func newExportOllamaCommand(a *app) *cobra.Command {
	f := ollamaFlags{kind: export.Same}
	cmd := &cobra.Command{
		Use: "ollama --model FILE -o DIR", Short: "Make a folder that \"ollama create\" takes",
		Long: `Writes a folder with the model, its adapters joined into one, and a Modelfile:
template, system message, stop strings and parameters. The chat template is written
in Ollama's language and compared with the model's own, by Ollama's code, on
conversations of many shapes; where a usual one comes out differently it is refused,
and what else differs is said. Some architectures (Qwen 3, Gemma 3) run in Ollama on
an engine that takes no adapters: for these, and with --merge, the adapters are
merged into the weights.`,
		Example: `  steer export ollama -m base.gguf -a sft.gguf -a policy.gguf -o steered
  cd steered && ollama create steered && ollama run steered`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.exportOllama(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.model, "model", "m", "", "base model, a GGUF `FILE`")
	flags.StringArrayVarP(&f.adapters, "adapter", "a", nil,
		"adapter, GGUF `FILE` or PEFT folder, on those before it; may be repeated")
	flags.StringVarP(&f.out, "out", "o", "", "`FOLDER` to write")
	flags.BoolVar(&f.force, "force", false, "overwrite what is there")
	bindScales(cmd, &f.scales)
	enumVar(flags, &f.kind, "merge", "merge the adapters into the weights, in this type")
	flags.StringVar(&f.options.From, "from", "", "lay the adapter on this `NAME` of Ollama's library, not on a copy")
	enumVar(flags, &f.options.Form.Template, "template",
		"form in which the model is asked (default: that of the adapters)")
	flags.StringVar(&f.templateFile, "template-file", "", "a template in Ollama's language, `FILE`, as it is")
	flags.StringVar(&f.system, "system", "", "system message, in place of the one trained with")
	flags.StringVar((*string)(&f.options.Form.Date), "date", "",
		"what the model's own template shows as today, such as 2026-01-31")
	flags.StringArrayVar(&f.options.Stop, "stop", nil, "end an answer at this `TEXT`; may be repeated")
	flags.Float32Var(&f.options.Temperature, "temperature", 0.7, "divides the logits; 0 takes the likeliest token")
	flags.IntVar(&f.options.TopK, "top-k", 0, "draw from the likeliest K tokens (0: all)")
	flags.Float32Var(&f.options.TopP, "top-p", 1, "draw from the likeliest tokens that make up this probability")
	flags.Float32Var(&f.options.MinP, "min-p", 0, "leave out tokens less likely than this share of the likeliest")
	flags.IntVar(&f.options.NumCtx, "num-ctx", 0, "tokens of prompt and answer (0: what Ollama takes)")
	flags.IntVar(&f.options.NumPredict, "num-predict", 0, "most tokens of an answer (0: until it ends)")
	flags.BoolVar(&f.anyStack, "any-stack", false, anyStackHelp)
	return cmd
}

func (f *ollamaFlags) check(cmd *cobra.Command) error {
	o := &f.options
	switch {
	case f.model == "":
		return usagef("--model: want the base model, a GGUF file")
	case f.out == "":
		return usagef("--out: want a folder to write")
	case !(o.Temperature >= 0 && o.Temperature <= 100):
		return usagef("--temperature: want 0 to 100, got %g", o.Temperature)
	case o.TopK < 0 || o.NumCtx < 0 || o.NumPredict < 0:
		return usagef("--top-k, --num-ctx, --num-predict: want 0 or more")
	case !(o.TopP > 0 && o.TopP <= 1):
		return usagef("--top-p: want more than 0, to 1, got %g", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return usagef("--min-p: want 0 to 1, got %g", o.MinP)
	case strings.ContainsAny(o.From, " \t\n\""):
		return usagef("--from: want a name such as llama3.2:1b, got %q", o.From)
	}
	if cmd.Flags().Changed("merge") {
		o.Merge = f.kind
	}
	if o.Merge != "" && len(f.adapters) == 0 {
		return usagef("--merge: want an --adapter to merge")
	}
	if cmd.Flags().Changed("system") {
		o.Form.System = &f.system
	}
	if f.templateFile != "" {
		text, err := os.ReadFile(f.templateFile)
		if err != nil {
			return fmt.Errorf("--template-file: %w", err)
		}
		if o.Template = string(text); o.Template == "" {
			return usagef("--template-file: %s is empty", f.templateFile)
		}
	}
	return f.refuse()
}

func (a *app) exportOllama(cmd *cobra.Command, f *ollamaFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	scales, err := parseScales(f.scales, len(f.adapters))
	if err != nil {
		return err
	}
	ctx, cancel := a.cancellable(cmd.Context())
	defer cancel()
	stack := export.Stack{Model: f.model, Paths: f.adapters, Scales: scales, Any: f.anyStack, Hashes: a.hashes}
	r, err := stack.Ollama(ctx, f.out, f.options)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s: %s\n", f.out, strings.Join(r.Files, ", "))
	if c := r.Compared; c != nil {
		fmt.Fprintf(a.out, "template %s: %d of %d conversations come out of Ollama's code as here\n", r.Template,
			c.Same, c.Same+len(c.Differences))
	}
	a.notices(r.Notes)
	fmt.Fprintf(a.out, "next: cd %s && ollama create NAME && ollama run NAME\n", f.out)
	return nil
}
