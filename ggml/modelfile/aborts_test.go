package modelfile

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf"
)

// What would end the process within libllama is found in files of any architecture, and nothing else.
func TestAborts(t *testing.T) {
	for name, c := range map[string]struct {
		key  string
		v    any
		says string
	}{
		"nothing":               {"some.key", "x", ""},
		"sizes by layer":        {"x.feed_forward_length", []uint32{8, 16}, ""},
		"heads by layer":        {"x.attention.head_count", []int32{8, 16}, ""},
		"heads in words":        {"x.attention.head_count_kv", []string{"8", "16"}, "array of string"},
		"labels":                {"x.classifier.output_labels", []string{"yes", "no"}, ""},
		"labels that are ids":   {"x.classifier.output_labels", []uint32{1, 2}, "want array of string"},
		"a scaling":             {"x.rope.scaling.type", "yarn", ""},
		"another scaling":       {"x.rope.scaling.type", "spiral", `"spiral": want one of none`},
		"experts nobody uses":   {"x.expert_count", uint32(8), "x.expert_used_count is 0"},
		"experts that are not":  {"x.expert_used_count", uint32(2), "x.expert_count 0"},
		"experts that are text": {"x.expert_count", "many", "x.expert_count"},
	} {
		t.Run(name, func(t *testing.T) {
			w := gguf.NewWriter()
			w.SetValue(c.key, c.v)
			path := filepath.Join(t.TempDir(), "x.gguf")
			require.NoError(t, w.Save(path))
			f, err := gguf.Open(path)
			require.NoError(t, err)
			defer f.Close()
			problems := aborts(f, "x")
			if c.says == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			require.ErrorContains(t, problems[0], c.says)
			require.False(t, Decodable(problems))
		})
	}
}
