package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/conversion"
	"steer/app/source"
	"steer/ggml/quantize"
	"steer/internal/bytesize"
	"steer/internal/hub"
)

func newModelConvertCommand(a *app) *cobra.Command {
	var req conversion.Request
	var f quantizeFlags
	cmd := &cobra.Command{
		Use: "convert FOLDER|hf:ORG/NAME -o FILE", Short: "Turn a model repository into a GGUF file",
		Long: `Reads the folder of a model repository, as the hub has them (config.json,
.safetensors files, tokenizer.json or tokenizer.model, the chat template), and
writes a GGUF file. No Python is needed. Names, numbers and metadata are those of
llama.cpp's converter; docs/models.md lists what can be converted, and the few
differences.

A type such as q4_k_m goes through a file of the repository's own type beside the
output, which is removed afterwards.`,
		Example: `  steer model convert SmolLM2-135M-Instruct -o base.gguf
  steer model convert hf:Qwen/Qwen2.5-0.5B-Instruct -o base.gguf --type q4_k_m`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, folder []string) error {
			ctx, cancel := a.cancellable(cmd.Context())
			defer cancel()
			if err := f.check(&req.Out); err != nil {
				return err
			}
			if f.typ != "" {
				typ, err := f.fileType()
				if err != nil {
					return err
				}
				req.Type = &typ
			}
			var err error
			if req.Quantize, err = f.options(); err != nil {
				return err
			}
			req.Folder = folder[0]
			if ref, err := hub.Parse(folder[0]); err == nil {
				req.Called = ref.ID
			}
			if err := a.locate(ctx, source.Checkpoint, "FOLDER", &req.Folder); err != nil {
				return err
			}
			con := newConversionConsole(a)
			res, err := conversion.Convert(ctx, req, con)
			con.end()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s, %s parameters, %s (%s)\n", req.Out, res.Architecture, grouped(res.Parameters),
				bytesize.Text(res.Bytes), choose(res.Types == nil, res.Type, res.Type+": "+typesText(res.Types)))
			return nil
		},
	}
	f.bind(cmd, "`TYPE` of the matrices: f32, f16, bf16, q8_0, q4_k_m ... (see steer model quantize); without it that "+
		"of "+
		"the repository")
	cmd.Flags().StringVar(&req.Name, "name", "", "the model's `NAME` in the file, instead of the repository's")
	cmd.Flags().StringVar(&req.Pre, "pre", "", "libllama's `NAME` of the pre-tokenizer, where it is not recognised")
	return cmd
}

func newModelQuantizeCommand(a *app) *cobra.Command {
	var f quantizeFlags
	var out string
	cmd := &cobra.Command{
		Use: "quantize FILE -o FILE --type TYPE", Short: "Make a smaller GGUF file of a model",
		Long: `Stores the matrices of a GGUF model in fewer bits, by libllama's own quantizer, so
that the result is that of llama.cpp's llama-quantize. Metadata and the chat
template are kept. Give a model of f32, f16 or bf16: quantizing twice loses twice.

Types, the finest first:
` + typeLines() + `
q2_k_s, iq2_* and iq1_* need an importance matrix (--imatrix).`,
		Example: `  steer model quantize base-bf16.gguf -o base.gguf --type q4_k_m`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, in []string) error {
			ctx, cancel := a.cancellable(cmd.Context())
			defer cancel()
			if err := f.check(&out); err != nil {
				return err
			}
			opt, err := f.options()
			if err != nil {
				return err
			}
			if opt.Type, err = f.fileType(); err != nil {
				return err
			}
			if err := a.locate(ctx, source.Model, "FILE", &in[0]); err != nil {
				return err
			}
			con := newConversionConsole(a)
			res, err := conversion.Quantize(ctx, in[0], out, opt, con)
			con.end()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s, from %s to %s (%s)\n", out, opt.Type.Name, bytesize.Text(res.Before),
				bytesize.Text(res.After), typesText(res.Types))
			return nil
		},
	}
	f.bind(cmd, "`TYPE` of the file, as listed above")
	cmd.Flags().BoolVar(&f.requantize, "requantize", false, "quantize matrices that are quantized already")
	return cmd
}

// typeLines are the types of files in lines of 80 columns.
func typeLines() string {
	return "  " + strings.Join(wrap(strings.Join(quantize.Types(), " "), tableColumns-2), "\n  ") + "\n"
}

func typesText(counts []quantize.Count) string {
	var parts []string
	for _, c := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", c.Tensors, c.Type))
	}
	return strings.Join(parts, ", ")
}

// conversionConsole shows how a conversion goes on.
type conversionConsole struct {
	*downloads
	quiet bool
}

func newConversionConsole(a *app) conversionConsole {
	return conversionConsole{newDownloads(a.err, isTerminal(a.err)), a.global.quiet}
}

// Progress implements conversion.Console.
func (c conversionConsole) Progress(what string, done, total int64) {
	if !c.quiet {
		c.progress(what, done, total)
	}
}

// Note implements conversion.Console.
func (c conversionConsole) Note(text string) { c.note(text) }

var errNoOutput = errors.New("--out: want a GGUF file to write")
