package convert_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/convert"
	"steer/ggml/gguf"
	"steer/internal/testfiles"
)

// golden is what llama.cpp's converter makes of a checkpoint (testdata/golden/convert).
type golden struct {
	Metadata map[string]struct {
		Type  string `json:"type"`
		Value any    `json:"value"`
	} `json:"metadata"`
	Tensors map[string][]struct {
		Name, Type, SHA256 string
		Dims               []int64
	} `json:"tensors"`
}

func checkpoints(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(testfiles.Golden(t, "convert"), "*.tar.gz"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	var names []string
	for _, path := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".tar.gz"))
	}
	return names
}

// differences are keys in which our files differ from those of llama.cpp's converter, with the reason. "": ours
// alone has the key, or llama.cpp's alone.
var differences = map[string]map[string]string{
	"gemma": {"tokenizer.ggml.eot_token_id": "llama.cpp writes 107 for every Gemma 1, whatever token that is"},
	"phi3":  {"tokenizer.ggml.eom_token_id": "a second token that ends answers, from generation_config.json"},
	"llama_json": {
		"tokenizer.ggml.scores": "llama.cpp gives all tokens -1000; ours follow the merges, so that text " +
			"is split as before",
		"tokenizer.ggml.token_type":       "llama.cpp takes <unk> for a control token",
		"tokenizer.ggml.add_space_prefix": "llama.cpp leaves it to the default",
	},
}

// Files equal those of llama.cpp's converter: names, shapes, types and bytes of all tensors, and all metadata.
func TestEqualsLlamaCpp(t *testing.T) {
	for _, name := range checkpoints(t) {
		t.Run(name, func(t *testing.T) {
			var want golden
			testfiles.ReadGolden(t, "convert/"+name+".json.gz", &want)
			c, err := convert.Open(testfiles.Repository(t, name), convert.OpenOptions{})
			require.NoError(t, err)
			defer c.Close()
			kinds := map[string]gguf.Type{"f32": gguf.TypeF32, "f16": gguf.TypeF16, "bf16": gguf.TypeBF16}
			for kind, typ := range kinds {
				path := filepath.Join(t.TempDir(), kind+".gguf")
				require.NoError(t, c.Save(t.Context(), path, convert.Options{Type: typ}))
				f, err := gguf.Open(path)
				require.NoError(t, err)
				defer f.Close()
				require.Len(t, f.Tensors(), len(want.Tensors[kind]))
				for _, w := range want.Tensors[kind] {
					got, ok := f.Tensor(w.Name)
					require.True(t, ok, w.Name)
					require.Equal(t, w.Type, got.Type.String(), w.Name)
					require.Equal(t, w.Dims, got.Dims, w.Name)
					b, err := f.TensorData(w.Name)
					require.NoError(t, err)
					sum := sha256.Sum256(b)
					require.Equal(t, w.SHA256, hex.EncodeToString(sum[:]), "%s: %s", kind, w.Name)
				}
				if kind == "f32" {
					sameMetadata(t, f, &want, differences[name])
				}
			}
			for _, n := range c.Notices() {
				t.Log(n)
			}
		})
	}
}

func sameMetadata(t *testing.T, f *gguf.File, want *golden, known map[string]string) {
	for key, w := range want.Metadata {
		if known[key] != "" {
			continue
		}
		if !f.Has(key) {
			t.Errorf("%s is missing: llama.cpp writes %v", key, w.Value)
			continue
		}
		if got := f.TypeOf(key); got != w.Type {
			t.Errorf("%s is of type %s, want %s", key, got, w.Type)
		}
		if got, want := jsonOf(t, f.Value(key)), jsonOf(t, w.Value); got != want && !sameFloats(f.Value(key), w.Value) {
			t.Errorf("%s is %.300s, want %.300s", key, got, want)
		}
	}
	for _, key := range f.Keys() {
		if _, ok := want.Metadata[key]; !ok && known[key] == "" {
			t.Errorf("%s (%v) is ours alone", key, f.Value(key))
		}
	}
}

func jsonOf(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// sameFloats compares float32 with the doubles that JSON holds.
func sameFloats(got, want any) bool {
	switch got := got.(type) {
	case float32:
		w, ok := want.(float64)
		return ok && float32(w) == got
	case []float32:
		w, ok := want.([]any)
		if !ok || len(w) != len(got) {
			return false
		}
		for i := range got {
			if !sameFloats(got[i], w[i]) {
				return false
			}
		}
		return true
	}
	return fmt.Sprint(got) == fmt.Sprint(want)
}
