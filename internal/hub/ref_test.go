package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Ref{
		"hf:org/name":                          {ID: "org/name"},
		"hf:gpt2":                              {ID: "gpt2"},
		"hf:models/org/name":                   {ID: "org/name"},
		"hf:org/name:Q4_K_M":                   {ID: "org/name", File: "Q4_K_M"},
		"hf:org/name@v1.0:sub/a b.gguf":        {ID: "org/name", Revision: "v1.0", File: "sub/a b.gguf"},
		"hf:datasets/org/name@refs/pr/1:x.csv": {Dataset: true, ID: "org/name", Revision: "refs/pr/1", File: "x.csv"},
	} {
		got, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		back, err := Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, back)
	}
	for text, says := range map[string]string{
		"org/name": "want hf:ORG/NAME", "hf:": "want hf:ORG/NAME", "hf:org/../x": "want hf:", "hf:org/a--b": "want hf:",
		"hf:/etc": "want hf:", "hf:org/name@": "revision", "hf:org/name@../x": "revision", "hf:org/name@-x": "revision",
		"hf:org/name:": "want a path inside", "hf:org/name:../x": "want a path inside", "hf:org/name:/x": "want a path",
		`hf:org/name:a\b`: "want a path", "hf:spaces/org/name": "a space is a program",
		"hf:org/name/model.gguf":        "did you mean hf:org/name:model.gguf?",
		"hf:datasets/org/name/x/y.json": "did you mean hf:datasets/org/name:x/y.json?",
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, says, text)
	}
}

func TestFromURL(t *testing.T) {
	const hub = "http://127.0.0.1:99"
	for address, want := range map[string]string{
		"https://huggingface.co/org/name":                               "hf:org/name",
		"https://huggingface.co/org/name/":                              "hf:org/name",
		"https://huggingface.co/org/name/tree/main":                     "hf:org/name@main",
		"https://huggingface.co/org/name/blob/main/sub/m.gguf":          "hf:org/name@main:sub/m.gguf",
		"https://huggingface.co/org/name/resolve/v1/m.gguf?download=1":  "hf:org/name@v1:m.gguf",
		"http://127.0.0.1:99/datasets/org/name/resolve/main/data/x.csv": "hf:datasets/org/name@main:data/x.csv",
		"https://hf.co/org/name":                                        "hf:org/name",
		"https://example.org/org/name":                                  "",
		"https://huggingface.co/api/models/org/name":                    "",
		"https://huggingface.co/org/name/discussions":                   "",
		"https://huggingface.co/":                                       "",
		"hf:org/name":                                                   "",
	} {
		got, ok := FromURL(address, hub)
		require.Equal(t, want != "", ok, address)
		if ok {
			require.Equal(t, want, got.String())
		}
	}
}

func TestOrigin(t *testing.T) {
	const commit = "0123456789012345678901234567890123456789"
	r, ok := Origin("/h/.cache/huggingface/hub/models--org--name/snapshots/" + commit + "/sub/m.gguf")
	require.True(t, ok)
	require.Equal(t, "hf:org/name@"+commit+":sub/m.gguf", r.String())
	for _, path := range []string{"/models/m.gguf", "snapshots/" + commit, "/x/models--a/snapshots/main/m", ""} {
		_, ok := Origin(path)
		require.False(t, ok, path)
	}
}
