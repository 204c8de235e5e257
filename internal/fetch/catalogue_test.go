package fetch

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKnownCatalogue(t *testing.T) {
	for _, s := range Known().Sets {
		t.Run(s.Name, func(t *testing.T) {
			for what, text := range map[string]string{"title": s.Title, "page": s.Page, "licence": s.Licence,
				"cite": s.Cite} {
				require.NotEmpty(t, text, what)
			}
			for _, address := range []string{s.Page, s.Archive, s.Base} {
				u, err := url.Parse(address)
				require.NoError(t, err)
				require.Contains(t, []string{"https", ""}, u.Scheme)
			}
			require.LessOrEqual(t, len(s.Name), 18, "the list of 80 columns")
			require.LessOrEqual(t, len(s.Host()), 21)
			if s.Base != "" {
				require.True(t, strings.HasSuffix(s.Base, "/"))
			}
			for _, f := range s.Files {
				require.NotEmpty(t, f.Format, f.Path)
				require.Equal(t, f.SHA256 != "", f.Bytes > 0, f.Path)
				if f.SHA256 != "" {
					require.True(t, isSum(f.SHA256), f.Path)
				}
				if c := f.Copy; c != nil {
					require.True(t, isSum(c.SHA256) && c.SHA256 != f.SHA256 && c.Bytes > 0, f.Path)
					require.NotEmpty(t, f.note(s), "%s: what is to be said of the copy?", f.Path)
				}
				require.Equal(t, path.Ext(f.Path), path.Ext(f.from()), f.Path)
				found, file, dir, ok := Known().Find("/some/where/" + f.Path)
				require.True(t, ok)
				require.Equal(t, []string{s.Name, f.Path, "/some/where"}, []string{found.Name, file.Path, dir})
			}
		})
	}
}

func TestFind(t *testing.T) {
	for file, want := range map[string][3]string{
		"data/ethics/virtue/virtue_train.csv":      {"ethics", "ethics/virtue/virtue_train.csv", "data"},
		"data/ethics/virtue/virtue_train.csv.zst":  {"ethics", "ethics/virtue/virtue_train.csv", "data"},
		"ethics/virtue/virtue_train.csv":           {"ethics", "ethics/virtue/virtue_train.csv", ""},
		"/ethics/virtue/virtue_train.csv":          {"ethics", "ethics/virtue/virtue_train.csv", "/"},
		"d/hh-rlhf/harmless-base/test.jsonl":       {"hh-rlhf", "hh-rlhf/harmless-base/test.jsonl.gz", "d"},
		"/x/data/winograd/wsc285/WSCollection.xml": {"winograd", "winograd/wsc285/WSCollection.xml", "/x/data"},
		"/x/models/SmolLM2-135M-Instruct.Q4_1.gguf": {"smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf",
			"/x/models"},
		"/x/models/my-SmolLM2-135M-Instruct.Q4_1.gguf": {},
		"virtue_train.csv":                     {},
		"":                                     {},
		"data/xethics/virtue/virtue_train.csv": {},
		"data/scruples/anecdotes/dev.scruples-anecdotes.": {},
	} {
		s, f, dir, ok := Known().Find(file)
		require.Equal(t, want[0] != "", ok, file)
		require.Equal(t, want, [3]string{s.Name, f.Path, dir}, file)
	}
}

func TestCatalogueRefuses(t *testing.T) {
	const file = "    files: [{path: a.csv, format: x}]\n"
	for text, says := range map[string]string{
		"  - name: a\n    base: x\n": "files: want at least one",
		"  - name: data\n    base: x\n" +
			file: "neither data nor model",
		"  - name: a\n" +
			file: "want one of archive, base, hub " +
			"and wheel, got 0",
		"  - name: a\n    base: x\n    hub: y\n" + file: "got 2",
		"  - name: a\n    base: x\n    files: [{path: ../a, " +
			"format: x}]\n": `path "../a": want a clean path`,
		"  - name: a\n    base: x\n    files: [{path: /a, format: x}]\n":                      "want a clean path",
		"  - name: a\n    base: x\n    files: [{path: b/../a, format: x}]\n":                  "want a clean path",
		"  - name: a\n    base: x\n    files: [{path: a, format: x}, {path: a, format: x}]\n": "that no other file has",
		"  - name: a\n    base: x\n" + file +
			"  - name: a\n    base: x\n    files: [{path: b, format: x}]\n": "want one that no other set has",
		"  - name: a\n    bas: x\n" +
			file: `did you mean "base"?`,
		"  - name: a\n    kind: adapter\n    base: x\n" +
			file: "want one of data, model",
	} {
		_, err := Parse("test.yaml", []byte("sets:\n"+text))
		require.ErrorContains(t, err, says)
	}
}

func TestSelect(t *testing.T) {
	names := func(word string, named bool) (out []string) {
		sets, ok := Known().Select(word, named)
		require.True(t, ok, word)
		for _, s := range sets {
			out = append(out, s.Name)
		}
		return out
	}
	require.Equal(t, []string{"ethics"}, names("ethics", false))
	require.Equal(t, Known().Names(Data), names("data", true))
	require.Equal(t, Known().Names(Model), names("model", true))
	for _, s := range Known().Sets {
		require.Equal(t, !s.ByName, slices.Contains(names(string(s.Kind), false), s.Name), s.Name)
	}
	_, ok := Known().Select("ethic", false)
	require.False(t, ok)
	for word, want := range map[string]string{"ethic": "ethics", "dta": "data", "ETHICS-2021": "ethics",
		"nothing like it": ""} {
		near, ok := Known().Nearest(word)
		require.Equal(t, want, near)
		require.Equal(t, want != "", ok)
	}
}
