package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"steer/ggml/gguf"
)

// writeGeneral writes what GGUF says of every model: its name, size and licence, and how its makers sample from it.
func (m *model) writeGeneral(w *gguf.Writer, opt Options, parameters int64) error {
	card, err := readCard(filepath.Join(m.dir, "README.md"))
	if err != nil {
		m.notice("%v: the model's card is not read", err)
	}
	w.SetString("general.architecture", m.f.arch)
	w.SetString("general.type", "model")
	w.SetString("general.name", m.name(opt, card))
	w.SetString("general.size_label", sizeLabel(parameters))
	for _, k := range []struct{ card, gguf string }{
		{"license", "license"}, {"license_name", "license.name"}, {"license_link", "license.link"},
	} {
		if v, ok := card[k.card].(string); ok {
			w.SetString("general."+k.gguf, v)
		}
	}
	if tags := append(list(card["tags"]), list(card["pipeline_tag"])...); len(tags) > 0 {
		w.SetStrings("general.tags", tags)
	}
	if languages := append(list(card["languages"]), list(card["language"])...); len(languages) > 0 {
		w.SetStrings("general.languages", languages)
	}
	w.SetUint32("general.file_type", fileTypes[opt.Type])
	w.SetUint32("general.quantization_version", 2)
	return m.writeSampling(w)
}

// writeSampling writes what generation_config.json recommends.
func (m *model) writeSampling(w *gguf.Writer) error {
	path := filepath.Join(m.dir, "generation_config.json")
	values, err := readObject(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	g := &settings{path: path, values: values}
	if g.has("top_k") {
		w.SetInt32("general.sampling.top_k", int32(g.number("top_k")))
	}
	for _, k := range []struct{ hub, gguf string }{
		{"top_p", "top_p"}, {"min_p", "min_p"}, {"temperature", "temp"}, {"repetition_penalty", "penalty_repeat"},
	} {
		if g.has(k.hub) {
			w.SetFloat32("general.sampling."+k.gguf, float32(g.number(k.hub)))
		}
	}
	return g.err
}

// readCard reads the YAML in front of a model's README.
func readCard(path string) (map[string]any, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	rest, ok := bytes.CutPrefix(raw, []byte("---\n"))
	if !ok {
		return nil, nil
	}
	front, _, _ := bytes.Cut(rest, []byte("\n---"))
	var card map[string]any
	if err := yaml.Unmarshal(front, &card); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return card, nil
}

// list is a text or a list of texts.
func list(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

var versionName = regexp.MustCompile(`^(v\d+(?:\.\d+)*|\d.*)$`)

// name is what was asked for, or what the card says, or the folder's name with its words in capitals.
func (m *model) name(opt Options, card map[string]any) string {
	if opt.Name != "" {
		return opt.Name
	}
	for _, key := range []string{"name", "model_name"} {
		if s, ok := card[key].(string); ok && s != "" {
			return s
		}
	}
	dir := opt.Folder
	if dir == "" {
		var err error
		if dir, err = filepath.Abs(m.dir); err != nil {
			dir = m.dir
		}
	}
	words := strings.Fields(strings.ReplaceAll(filepath.Base(dir), "-", " "))
	for i, word := range words {
		if word == strings.ToLower(word) && word != strings.ToUpper(word) && !versionName.MatchString(word) {
			words[i] = title(word)
		}
	}
	return strings.Join(words, " ")
}

// title writes every run of letters with a capital first.
func title(word string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		first := unicode.IsLetter(r) && !inside
		inside = unicode.IsLetter(r)
		if first {
			return unicode.ToTitle(r)
		}
		return r
	}, word)
}

// sizeLabel is the number of weights in a few characters, such as 1.5B.
func sizeLabel(n int64) string {
	unit, size := "K", float64(n)*1e-3
	for _, u := range []struct {
		name string
		of   float64
	}{{"M", 1e6}, {"B", 1e9}, {"T", 1e12}} {
		if float64(n) > u.of {
			unit, size = u.name, float64(n)/u.of
		}
	}
	digits := strings.TrimLeft(strconv.FormatFloat(size, 'f', 0, 64), "0")
	return strconv.FormatFloat(size, 'f', max(2-len(digits), 0), 64) + unit
}
