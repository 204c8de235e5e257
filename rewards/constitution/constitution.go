package constitution

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

//go:embed texts/*.txt
var texts embed.FS

// Text is a theory in words.
type Text struct {
	Name   string // of a text of steer's, or the path of a file
	Text   string
	SHA256 string // of Text
	// Sources are books and papers that a text of steer's puts into other words.
	Sources []string
}

// Names lists the texts that come with steer.
func Names() []string {
	entries, err := texts.ReadDir("texts")
	if err != nil {
		panic(err) // embedded
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".txt"))
	}
	return names
}

// maxBytes bounds a user's text: it stands before every question.
const maxBytes = 64 << 10

// Open gives the text of a name, or of a file.
func Open(name string) (Text, error) {
	var raw []byte
	var err error
	own := slices.Contains(Names(), name)
	if name == "" {
		return Text{}, fmt.Errorf("constitution: want one of %s, or the path of a text", strings.Join(Names(), ", "))
	}
	if own {
		raw, err = texts.ReadFile(path.Join("texts", name+".txt"))
	} else if raw, err = os.ReadFile(name); err != nil {
		err = fmt.Errorf("constitution: want one of %s, or the path of a text: %w", strings.Join(Names(), ", "), err)
	}
	if err != nil {
		return Text{}, err
	}
	if !utf8.Valid(raw) {
		return Text{}, fmt.Errorf("constitution: %s is not UTF-8: save it as UTF-8", name)
	}
	text, from := strings.TrimSpace(string(bytes.TrimPrefix(raw, bom))), []string(nil)
	if own {
		text, from = divide(text)
	}
	switch {
	case text == "":
		return Text{}, fmt.Errorf("constitution: %s holds no text", name)
	case len(raw) > maxBytes:
		return Text{}, fmt.Errorf("constitution: %s has %d bytes: want at most %d, it stands before every question",
			name, len(raw), maxBytes)
	}
	sum := sha256.Sum256([]byte(text))
	return Text{Name: name, Text: text, SHA256: hex.EncodeToString(sum[:]), Sources: from}, nil
}

// bom is the byte order mark that some editors write.
var bom = []byte("\uFEFF")

// divide takes the sources off a text of steer's.
func divide(text string) (body string, sources []string) {
	body, list, _ := strings.Cut(text, "\n\nSources:\n")
	for line := range strings.Lines(list) {
		sources = append(sources, strings.TrimPrefix(strings.TrimSpace(line), "- "))
	}
	return body, sources
}
