package convert_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/convert"
	"steer/ggml/gguf"
	"steer/internal/testfiles"
)

// edit changes a JSON file of a checkpoint; nil removes a key.
func edit(t *testing.T, dir, file string, changes map[string]any) {
	t.Helper()
	path := filepath.Join(dir, file)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, json.Unmarshal(raw, &v))
	maps.Copy(v, changes)
	maps.DeleteFunc(v, func(_ string, v any) bool { return v == nil })
	raw, err = json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o666))
}

func config(changes map[string]any) func(*testing.T, string) {
	return func(t *testing.T, dir string) { edit(t, dir, "config.json", changes) }
}

func write(file, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666))
	}
}

func remove(files ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, f := range files {
			require.NoError(t, os.Remove(filepath.Join(dir, f)))
		}
	}
}

// header changes the header of a safetensors file; its data stay as they are.
func header(file string, change func(map[string]any)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, file)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		n := binary.LittleEndian.Uint64(raw)
		var h map[string]any
		require.NoError(t, json.Unmarshal(raw[8:8+n], &h))
		change(h)
		text, err := json.Marshal(h)
		require.NoError(t, err)
		out := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
		require.NoError(t, os.WriteFile(path, append(out, raw[8+n:]...), 0o666))
	}
}

func rename(from, to string) func(map[string]any) {
	return func(h map[string]any) {
		h[to] = h[from]
		delete(h, from)
	}
}

type rope = map[string]any

// Every mistake in a repository is an error that says where it is and what to do.
func TestBadRepositories(t *testing.T) {
	const weights = "model.safetensors"
	for _, c := range []struct {
		name, of string
		change   func(*testing.T, string)
		want     []string
	}{
		{"no configuration", "qwen3", remove("config.json"), []string{"no config.json: want the folder"}},
		{"no folder", "qwen3", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) },
			[]string{"there is no such folder", "hf:ORG/NAME"}},
		{"an adapter", "qwen3", func(t *testing.T, dir string) {
			remove("config.json")(t, dir)
			write("adapter_config.json", "{}")(t, dir)
		}, []string{"this is an adapter", "steer adapter import"}},
		{"a GGUF repository", "qwen3", func(t *testing.T, dir string) {
			remove("config.json")(t, dir)
			write("a.gguf", "")(t, dir)
		}, []string{"a.gguf, which needs no conversion"}},
		{"a configuration that is no JSON", "qwen3", write("config.json", "{\n\"a\": 1,\n}"),
			[]string{"config.json: line 3"}},
		{"an unknown architecture", "qwen3", config(rope{"architectures": []string{"MixtralForCausalLM"}}),
			[]string{"MixtralForCausalLM", "LlamaForCausalLM", "convert_hf_to_gguf.py"}},
		{"no architecture", "qwen3", config(rope{"architectures": nil}), []string{"architectures is missing"}},
		{"a missing number", "qwen3", config(rope{"hidden_size": nil}), []string{"config.json: hidden_size is " +
			"missing"}},
		{"a number that is a text", "qwen3", config(rope{"hidden_size": "big"}), []string{"hidden_size is big: want " +
			"a number"}},
		{"half a layer", "qwen3", config(rope{"num_hidden_layers": 1.5}), []string{"num_hidden_layers is 1.5: want a " +
			"whole"}},
		{"heads that do not fit", "qwen3", config(rope{"num_key_value_heads": 3}), []string{"num_key_value_heads 3: " +
			"want a mult"}},
		{"another gate", "qwen3", config(rope{"hidden_act": "relu"}), []string{`hidden_act is "relu"`, "silu"}},
		{"AWQ", "qwen3", config(rope{"quantization_config": rope{"quant_method": "awq"}}),
			[]string{"quantization_config", "awq", "before that"}},
		{"a RoPE libllama lacks", "qwen3", config(rope{"rope_parameters": rope{"rope_type": "dynamic", "factor": 2.0}}),
			[]string{`rope_type is "dynamic"`}},
		{"YaRN with its own factor", "qwen2", config(rope{"rope_parameters": rope{"rope_type": "yarn", "factor": 4.0,
			"original_max_position_embeddings": 128, "attention_factor": 1.5}}), []string{"attention_factor is 1.5"}},
		{"partial rotation", "qwen3", config(rope{"partial_rotary_factor": 0.5}), []string{"partial_rotary_factor is " +
			"0.5"}},
		{"a window Qwen 3 has not", "qwen3", config(rope{"use_sliding_window": true, "layer_types": nil}),
			[]string{"use_sliding_window"}},
		{"other layers without RoPE", "smollm3", config(rope{"no_rope_layers": []int{1, 0, 1, 0}}),
			[]string{"no_rope_layers", "layer 1"}},
		{"other windows", "gemma3", config(rope{"layer_types": []string{"full_attention", "sliding_attention",
			"sliding_attention"}}), []string{"layer_types[0]", "every 6th"}},
		{"other queries", "gemma2", config(rope{"query_pre_attn_scalar": 100}), []string{"query_pre_attn_scalar is " +
			"100"}},
		{"another RoPE in windows", "gemma3", config(rope{"rope_parameters": rope{
			"full_attention":    rope{"rope_type": "default", "rope_theta": 1e6},
			"sliding_attention": rope{"rope_type": "default", "rope_theta": 2e4}}}), []string{"is 20000", "libllama " +
			"takes 10000"}},
		{"factors of another width", "phi3", config(rope{"rope_parameters": rope{"rope_type": "longrope",
			"short_factor": []float64{1, 2}, "long_factor": []float64{1, 2, 3, 4}}}), []string{"short_factor has 2 " +
			"numbers, want 4"}},

		{"no weights", "qwen3", remove(weights), []string{"no weights: want model.safetensors"}},
		{"pickled weights", "qwen3", func(t *testing.T, dir string) {
			remove(weights)(t, dir)
			write("pytorch_model.bin", "")(t, dir)
		}, []string{"pytorch_model.bin", "save_pretrained", "safetensors/convert"}},
		{"a shard that is not there", "llama3", remove("model-00002-of-00002.safetensors"),
			[]string{"model.safetensors.index.json: weight_map names model-00002-of-00002.safetensors, which is not " +
				"there"}},
		{"shards without an index", "llama3", remove("model.safetensors.index.json"), []string{"2 .safetensors " +
			"files, but no"}},
		{"an index without a map", "llama3", write("model.safetensors.index.json", "{}"), []string{"weight_map is " +
			"missing"}},
		{"an index that leads outside", "llama3", write("model.safetensors.index.json",
			`{"weight_map": {"a": "../../x.safetensors"}}`), []string{`"../../x.safetensors" is no file name`}},
		{"an index with more tensors", "llama3", func(t *testing.T, dir string) {
			edit(t, dir, "model.safetensors.index.json", rope{"weight_map": map[string]string{
				"a": "model-00001-of-00002.safetensors"}})
		}, []string{`tensor "a" is not in model-00001-of-00002.safetensors`}},
		{"a shard cut short", "llama3", func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "model-00001-of-00002.safetensors"), 20000))
		}, []string{"model-00001-of-00002.safetensors", "cut short"}},
		{"a pointer of Git LFS", "qwen3", write(weights, "version https://git-lfs.github.com/spec/v1\noid "+
			"sha256:0\nsize 5\n"),
			[]string{weights, "Git LFS"}},
		{"a header that is garbage", "qwen3", write(weights, "\x10\x00\x00\x00\x00\x00\x00\x00not a JSON object."),
			[]string{"not a JSON object"}},
		{"a header that is too long", "qwen3", write(weights, "\xff\xff\xff\xff\xff\xff\xff\x7f{}"), []string{"at " +
			"most 100000000"}},
		{"a tensor twice", "llama3", func(t *testing.T, dir string) {
			remove("model.safetensors.index.json")(t, dir)
			raw, err := os.ReadFile(filepath.Join(dir, "model-00001-of-00002.safetensors"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "again.safetensors"), raw, 0o666))
			write("model.safetensors.index.json", `{"weight_map": {"model.norm.weight": "again.safetensors",
				"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}}`)(t, dir)
		}, []string{"is in again.safetensors too"}},
		{"an id of two added tokens", "llama3", addedToken(`{"id": 300, "content": "<other>"}`),
			[]string{"tokenizer.json", "id 300 is given to", "<other>"}},
		{"an added token of two ids", "llama3", addedToken(`{"id": 290, "content": "<|eot_id|>"}`),
			[]string{"tokenizer.json", `"<|eot_id|>" is given the ids 290 and 303`}},
		{"a missing tensor", "qwen3",
			header(weights, rename("model.norm.weight", "model.layers.0.rotary_emb.inv_freq")),
			[]string{"output_norm.weight (model.norm.weight) is missing"}},
		{"an unknown tensor", "qwen3", header(weights, rename("model.norm.weight", "model.strange.weight")),
			[]string{`tensor "model.strange.weight"`, "qwen3 models have none"}},
		{"a bias where there is " +
			"none", "qwen3", header(weights, rename("model.norm.weight", "model.layers.0.self_attn.q_proj.bias")),
			[]string{"q_proj.bias"}},
		{"a layer too many", "qwen3", config(rope{"num_hidden_layers": 1, "layer_types": nil}),
			[]string{"layer 1, but num_hidden_layers is 1"}},
		{"a shape of another model", "qwen3", config(rope{"intermediate_size": 64}), []string{"has " +
			"shape", "config.json says [32 64]"}},
		{"GPTQ's tensors", "qwen3", header(weights, rename("model.norm.weight", "model.layers.0.mlp.up_proj.qweight")),
			[]string{"up_proj.qweight", "quantized"}},
		{"FP8", "qwen3", header(weights, func(h map[string]any) {
			e := h["model.layers.0.mlp.up_proj.weight"].(map[string]any)
			e["dtype"], e["shape"] = "F8_E4M3", []int{48, 64}
		}), []string{"up_proj.weight", "F8_E4M3", "quantized weights"}},

		{"no tokenizer", "qwen3", remove("tokenizer.json"), []string{"no tokenizer: want tokenizer.json"}},
		{"vocab.json alone", "qwen3", func(t *testing.T, dir string) {
			remove("tokenizer.json")(t, dir)
			write("vocab.json", "{}")(t, dir)
		}, []string{"vocab.json and merges.txt alone", "save_pretrained"}},
		{"no merges", "qwen3", func(t *testing.T, dir string) {
			raw, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
			require.NoError(t, err)
			var v map[string]any
			require.NoError(t, json.Unmarshal(raw, &v))
			vocab := v["model"].(map[string]any)["vocab"]
			edit(t, dir, "tokenizer.json", rope{"model": rope{"type": "BPE", "vocab": vocab}})
		}, []string{"tokenizer.json: model.merges is missing"}},
		{"an unknown pre-tokenizer", "qwen3", func(t *testing.T, dir string) {
			edit(t, dir, "tokenizer.json", rope{"pre_tokenizer": rope{"type": "Sequence", "pretokenizers": []any{
				rope{"type": "Split", "pattern": rope{"Regex": "x+"}, "behavior": "Isolated", "invert": false},
				rope{"type": "ByteLevel", "use_regex": false}}}})
		}, []string{"pre_tokenizer", "Split x+", "--pre"}},
		{"WordPiece", "qwen3", func(t *testing.T, dir string) {
			edit(t, dir, "tokenizer.json", rope{"model": rope{"type": "WordPiece", "vocab": rope{}}})
		}, []string{`model.type is "WordPiece"`}},
		{"a normalizer", "qwen3", func(t *testing.T, dir string) {
			edit(t, dir, "tokenizer.json", rope{"normalizer": rope{"type": "Lowercase"}})
		}, []string{`normalizer "Lowercase"`}},
		{"a tokenizer.json that is no " +
			"JSON", "qwen3", write("tokenizer.json", "{\n\n\"a\""), []string{"tokenizer.json: line 3"}},
		{"a tokenizer.model that is none", "llama2", write("tokenizer.model", "hello"), []string{"not a " +
			"SentencePiece model"}},
		{"a template of no kind", "qwen3", func(t *testing.T, dir string) {
			edit(t, dir, "tokenizer_config.json", rope{"chat_template": 5})
		}, []string{"tokenizer_config.json: chat_template: want a text or a list"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testfiles.Repository(t, c.of)
			c.change(t, dir)
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err == nil {
				m.Close()
			}
			require.Error(t, err)
			require.Contains(t, err.Error(), dir)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// A file is whole or not there: NaN in a weight, a number too large for f16 and an interrupt leave nothing.
func TestNothingHalf(t *testing.T) {
	dir := testfiles.Repository(t, "smollm")
	path := filepath.Join(dir, "model.safetensors")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	save := func(ctx context.Context, opt convert.Options) error {
		m, err := convert.Open(dir, convert.OpenOptions{})
		require.NoError(t, err)
		defer m.Close()
		out := filepath.Join(t.TempDir(), "out.gguf")
		err = m.Save(ctx, out, opt)
		left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*"))
		hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".*"))
		require.Empty(t, append(left, hidden...))
		return err
	}
	last := func(bits uint32) {
		binary.LittleEndian.PutUint32(raw[len(raw)-4:], bits)
		require.NoError(t, os.WriteFile(path, raw, 0o666))
	}
	last(0x7fc00000)
	require.ErrorContains(t, save(t.Context(), convert.Options{Type: gguf.TypeF32}), "is NaN: the weights are damaged")
	ctx, cancel := context.WithCancel(t.Context())
	last(0)
	err = save(ctx, convert.Options{Type: gguf.TypeF32, Progress: func(done, _ int64) {
		if done > 0 {
			cancel()
		}
	}})
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
}

func TestTooLargeForF16(t *testing.T) {
	dir := testfiles.Repository(t, "smollm")
	path := filepath.Join(dir, "model.safetensors")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(raw)
	binary.LittleEndian.PutUint32(raw[8+n:], 0x48000000) // 131072, the first of lm_head.weight
	require.NoError(t, os.WriteFile(path, raw, 0o666))
	m, err := convert.Open(dir, convert.OpenOptions{})
	require.NoError(t, err)
	defer m.Close()
	err = m.Save(t.Context(), filepath.Join(t.TempDir(), "o.gguf"), convert.Options{Type: gguf.TypeF16})
	require.ErrorContains(t, err, "131072 is beyond what f16 can hold")
	require.NoError(t, m.Save(t.Context(), filepath.Join(t.TempDir(), "o.gguf"), convert.Options{Type: gguf.TypeBF16}))
}

// addedToken puts a token before the others of tokenizer.json.
func addedToken(token string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		raw, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
		require.NoError(t, err)
		write("tokenizer.json", strings.Replace(string(raw), `"added_tokens": [`, `"added_tokens": [`+token+",", 1))(t,
			dir)
	}
}

// What is left out or comes out otherwise is said.
func TestNotices(t *testing.T) {
	for _, c := range []struct {
		name, of string
		change   func(*testing.T, string)
		want     string
	}{
		{"images", "gemma3_image", func(*testing.T, string) {}, "tensors of the part that sees images are left out"},
		{"a window", "mistral", config(rope{"sliding_window": 100}), "sliding_window is 100"},
		{"two templates", "qwen3", write("chat_template.jinja", "other"), "another chat template than " +
			"chat_template.jinja"},
		{"a broken template", "qwen3", write("chat_template.jinja", "{% for m in %}"),
			"the chat template is written as " +
				"it is, but no use is made of it as long as it does not read: template line 1"},
		{"tokens without a row", "smollm", addedToken(`{"id": 303, "content": "<far>"}`),
			`the added token "<far>" (id 303) has no row among the 303`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testfiles.Repository(t, c.of)
			c.change(t, dir)
			m, err := convert.Open(dir, convert.OpenOptions{})
			require.NoError(t, err)
			defer m.Close()
			require.Contains(t, strings.Join(m.Notices(), "\n"), c.want)
		})
	}
}
