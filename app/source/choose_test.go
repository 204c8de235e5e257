package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/hub"
)

// listing makes files of their names.
func listing(names string) (files []hub.File) {
	for _, n := range strings.Fields(names) {
		files = append(files, hub.File{Path: n, Bytes: 1_000_000})
	}
	return files
}

const (
	ggufs = "README.md config.json m-Q4_K_M.gguf m-Q4_K_S.gguf m-Q8_0.gguf mmproj-m-f16.gguf imatrix.gguf " +
		"BF16/m-BF16-00001-of-00002.gguf BF16/m-BF16-00002-of-00002.gguf"
	sharded = "README.md .gitattributes config.json generation_config.json tokenizer.json tokenizer_config.json " +
		"chat_template.jinja model.safetensors.index.json model-00001-of-00002.safetensors " +
		"model-00002-of-00002.safetensors consolidated.safetensors pytorch_model.bin onnx/model.onnx " +
		"original/consolidated.00.pth sub/model.safetensors"
	rows = "README.md dataset_infos.json data/train-00000-of-00001.parquet data/test-00000-of-00001.parquet " +
		"extra.jsonl.gz"
)

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		kind         Kind
		ref, files   string
		main, files2 string
	}{
		"the only one":       {Model, "hf:o/n", "README.md a.gguf mmproj-a.gguf", "a.gguf", "a.gguf"},
		"by path":            {Model, "hf:o/n:m-Q8_0.gguf", ggufs, "m-Q8_0.gguf", "m-Q8_0.gguf"},
		"by quantization":    {Model, "hf:o/n:Q4_K_M", ggufs, "m-Q4_K_M.gguf", "m-Q4_K_M.gguf"},
		"in small letters":   {Model, "hf:o/n:q8_0", ggufs, "m-Q8_0.gguf", "m-Q8_0.gguf"},
		"behind underscores": {Model, "hf:o/n:q4_0", "a_q4_0.gguf a_q8_0.gguf", "a_q4_0.gguf", "a_q4_0.gguf"},
		"parts": {Model, "hf:o/n:bf16", ggufs, "BF16/m-BF16-00001-of-00002.gguf",
			"BF16/m-BF16-00001-of-00002.gguf BF16/m-BF16-00002-of-00002.gguf"},
		"any part": {Model, "hf:o/n:m-BF16-00002-of-00002.gguf", ggufs, "BF16/m-BF16-00001-of-00002.gguf",
			"BF16/m-BF16-00001-of-00002.gguf BF16/m-BF16-00002-of-00002.gguf"},
		"what is exactly named": {Any, "hf:o/n:mmproj-m-f16.gguf", ggufs, "mmproj-m-f16.gguf", "mmproj-m-f16.gguf"},
		"checkpoint": {Checkpoint, "hf:o/n", sharded, "", "config.json generation_config.json tokenizer.json " +
			"tokenizer_config.json chat_template.jinja model.safetensors.index.json model-00001-of-00002.safetensors " +
			"model-00002-of-00002.safetensors"},
		"whatever there is: a checkpoint": {Any, "hf:o/n", "config.json tokenizer.json model.safetensors x.pth", "",
			"config.json tokenizer.json model.safetensors"},
		"whatever there is: a model": {Any, "hf:o/n", "config.json a.gguf model.safetensors", "a.gguf", "a.gguf"},
		"PEFT": {Adapter, "hf:o/n", "README.md adapter_config.json adapter_model.safetensors tokenizer.json", "",
			"adapter_config.json adapter_model.safetensors"},
		"PEFT in a folder": {Adapter, "hf:o/n:sub", "sub/adapter_config.json sub/adapter_model.safetensors x.gguf",
			"sub",
			"sub/adapter_config.json sub/adapter_model.safetensors"},
		"adapter in GGUF": {Adapter, "hf:o/n", "a.gguf", "a.gguf", "a.gguf"},
		"a split": {Data, "hf:datasets/o/n:train", rows, "data/train-00000-of-00001.parquet",
			"data/train-00000-of-00001.parquet"},
		"data by path": {Data, "hf:datasets/o/n:extra.jsonl.gz", rows, "extra.jsonl.gz",
			"extra.jsonl.gz"},
		"the only data": {Data, "hf:datasets/o/n", "README.md dataset_infos.json a.json", "a.json",
			"a.json"},
		"data, whatever it is called": {Data, "hf:datasets/o/n:a.xyz", "a.xyz b.csv", "a.xyz", "a.xyz"},
		"any data": {Any, "hf:datasets/o/n:test", rows, "data/test-00000-of-00001.parquet",
			"data/test-00000-of-00001.parquet"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := hub.Parse(c.ref)
			require.NoError(t, err)
			got, err := Choose(c.kind, r, listing(c.files))
			require.NoError(t, err)
			require.Equal(t, c.main, got.Main())
			require.Equal(t, listing(c.files2), got.Files)
		})
	}
}

func TestChooseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind       Kind
		ref, files string
		says       []string
	}{
		"several models": {Model, "hf:o/n@v1", ggufs, []string{"hf:o/n@v1: it holds 4 models (GGUF): name one of them:",
			"\n  hf:o/n@v1:Q4_K_M  1.0 MB\n  hf:o/n@v1:Q4_K_S  1.0 MB\n  hf:o/n@v1:Q8_0    1.0 MB\n  hf:o/n@v1:BF16  " +
				"  2.0 MB"}},
		"a word for several": {Model, "hf:o/n:Q4_0", "a-Q4_0.gguf b-Q4_0.gguf b-Q8_0.gguf", []string{
			`"Q4_0" means 2 of its models (GGUF)`, "\n  hf:o/n:a-Q4_0.gguf  1.0 MB\n  hf:o/n:b-Q4_0.gguf  1.0 MB"}},
		"a part of a word": {Model, "hf:o/n:Q4_K", ggufs, []string{"none of its models (GGUF) is called so: there " +
			"are"}},
		"same names": {Model, "hf:o/n", "x/a.gguf y/a.gguf", []string{"\n  hf:o/n:x/a.gguf",
			"\n  hf:o/n:y/a.gguf"}},
		"a missing part": {Model, "hf:o/n", "a-00001-of-00003.gguf a-00003-of-00003.gguf",
			[]string{"one of 3 parts, and 2"}},
		"safetensors": {Model, "hf:o/n", sharded, []string{"but a checkpoint in safetensors",
			`"steer model convert hf:o/n -o`}},
		"a safetensors file": {Model, "hf:o/n:consolidated.safetensors", sharded, []string{"is no GGUF file",
			"steer model convert"}},
		"pickled weights": {Any, "hf:o/n", "config.json pytorch_model.bin", []string{"no model but pickled weights",
			"safe_serialization=True", "spaces/safetensors/convert"}},
		"pickled weights, named": {Any, "hf:o/n:x.pt", "x.pt", []string{"x.pt holds pickled weights"}},
		"pickled, to convert":    {Checkpoint, "hf:o/n", "config.json pytorch_model.bin", []string{"pickled weights"}},
		"pickled adapter": {Adapter, "hf:o/n", "adapter_config.json adapter_model.bin", []string{"pickled",
			"with peft"}},
		"an adapter": {Model, "hf:o/n", "adapter_config.json adapter_model.safetensors",
			[]string{"it is for --adapter"}},
		"nothing": {Model, "hf:o/n", "", []string{"it holds no model", "It is empty"}},
		"no model": {Model, "hf:o/n", "a b c d e f g h i j",
			[]string{"It holds a, b, c, d, e, f, g, h and 2 more"}},
		"no config": {Checkpoint, "hf:o/n", "model.safetensors", []string{"no config.json beside them"}},
		"a missing shard": {Checkpoint, "hf:o/n", "config.json model-00001-of-00002.safetensors",
			[]string{"one of 2 parts"}},
		"in a folder": {Checkpoint, "hf:o/n", "sub/config.json sub/model.safetensors",
			[]string{"name that behind a colon"}},
		"GGUF, to convert": {Checkpoint, "hf:o/n", "a.gguf", []string{"need no conversion"}},
		"several data": {Data, "hf:datasets/o/n", rows, []string{"it holds 3 files of data: name one of them:",
			"\n  hf:datasets/o/n:train-00000-of-00001.parquet"}},
		"parts of data": {Data, "hf:datasets/o/n:train", "train-00000-of-00002.parquet train-00001-of-00002.parquet",
			[]string{`"train" means 2 of its files of data`}},
		"a script": {Data, "hf:datasets/o/n", "n.py README.md",
			[]string{"try hf:datasets/o/n@refs/convert/parquet"}},
		"data of a model": {Data, "hf:o/n", "a.gguf", []string{"A data set is named so: hf:datasets/o/n"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := hub.Parse(c.ref)
			require.NoError(t, err)
			_, err = Choose(c.kind, r, listing(c.files))
			var wrong *ChoiceError
			require.ErrorAs(t, err, &wrong)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}
