package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"steer/ggml/gguf"
	"steer/ggml/quantize"
)

// quantizeFlags are the flags of model convert and model quantize.
type quantizeFlags struct {
	out, typ          string
	force             bool
	tensors           []string
	output, embedding string
	pure, requantize  bool
	imatrix           string
	threads           int
}

func (f *quantizeFlags) bind(cmd *cobra.Command, typ string) {
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "out", "o", "", "GGUF `FILE` to write")
	flags.StringVarP(&f.typ, "type", "t", "", typ)
	flags.BoolVar(&f.force, "force", false, "overwrite what is there")
	flags.StringArrayVar(&f.tensors, "tensor-type", nil,
		"`REGEX=TYPE`: matrices whose name it matches get a type of their own (repeatable)")
	flags.StringVar(&f.output, "output-type", "", "`TYPE` of output.weight, such as q6_k")
	flags.StringVar(&f.embedding, "embedding-type", "", "`TYPE` of token_embd.weight")
	flags.BoolVar(&f.pure, "pure", false, "all matrices in the type's own, no mix")
	flags.StringVar(&f.imatrix, "imatrix", "", "importance matrix, a `FILE` of llama.cpp's llama-imatrix")
	flags.IntVar(&f.threads, "threads", 0, "`N` threads quantize (default: one for each CPU)")
}

// check looks at where to write to.
func (f *quantizeFlags) check(out *string) error {
	if f.out == "" {
		return usagef("%w", errNoOutput)
	}
	if ext := filepath.Ext(f.out); !strings.EqualFold(ext, ".gguf") {
		return usagef("--out %s: want a name that ends in .gguf", f.out)
	}
	*out = f.out
	return (&convertFlags{out: f.out, force: f.force}).refuse()
}

func (f *quantizeFlags) fileType() (quantize.Type, error) {
	if f.typ == "" {
		return quantize.Type{}, usagef("--type: want one of %s", strings.Join(quantize.Types(), ", "))
	}
	t, err := quantize.Parse(f.typ)
	if err != nil {
		return t, usagef("--type: %w", err)
	}
	return t, nil
}

// options are those of the quantizer but the type.
func (f *quantizeFlags) options() (opt quantize.Options, err error) {
	if f.threads < 0 || f.threads > 512 {
		return opt, usagef("--threads %d: want 1 to 512, or 0 for one for each CPU", f.threads)
	}
	opt = quantize.Options{Threads: f.threads, Pure: f.pure, Requantize: f.requantize}
	for _, o := range []struct {
		flag, text string
		into       **gguf.Type
	}{{"--output-type", f.output, &opt.Output}, {"--embedding-type", f.embedding, &opt.Embedding}} {
		if o.text == "" {
			continue
		}
		t, err := quantize.ParseTensor(o.text)
		if err != nil {
			return opt, usagef("%s: %w", o.flag, err)
		}
		*o.into = &t
	}
	for _, text := range f.tensors {
		i := strings.LastIndexByte(text, '=')
		if i < 1 {
			return opt, usagef("--tensor-type %q: want REGEX=TYPE, such as ffn_down=q6_k", text)
		}
		t, err := quantize.ParseTensor(text[i+1:])
		if err != nil {
			return opt, usagef("--tensor-type %q: %w", text, err)
		}
		opt.Tensors = append(opt.Tensors, quantize.TensorType{Pattern: text[:i], Type: t})
	}
	if f.imatrix != "" {
		if opt.Importance, err = quantize.ReadImportance(f.imatrix); err != nil {
			return opt, fmt.Errorf("--imatrix: %w", err)
		}
	}
	return opt, nil
}
