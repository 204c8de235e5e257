// Package constitution holds theories stated in words, which a model can judge by: the texts that come with
// steer, and those of users. The texts are our own; they put into plain words
//
//   - deontology: Kant, Groundwork of the Metaphysics of Morals (1785), and what ETHICS asks under that name: whether
//     an excuse is reasonable, whether a duty follows from a role (Hendrycks et al. 2021, arXiv:2008.02275);
//   - utilitarianism: Bentham, An Introduction to the Principles of Morals and Legislation (1789); Mill, Utilitarianism
//     (1861); in ETHICS, which of two scenarios is more pleasant;
//   - virtue: Aristotle, Nicomachean Ethics, books II to IV; in ETHICS, which trait fits a character;
//   - harmlessness: what annotators were asked to look for by Bai et al. 2022 (arXiv:2204.05862), and the idea of
//     judging by written principles (Bai et al. 2022, Constitutional AI, arXiv:2212.08073).
//
// It imports nothing of this module.
package constitution

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

//go:embed texts/*.txt
var texts embed.FS

// Text is a theory in words.
type Text struct {
	Name   string // of a text of steer's, or the path of a file
	Text   string
	SHA256 string
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
	if slices.Contains(Names(), name) {
		raw, err = texts.ReadFile(path.Join("texts", name+".txt"))
	} else if raw, err = os.ReadFile(name); err != nil {
		err = fmt.Errorf("constitution: want one of %s, or the path of a text: %w", strings.Join(Names(), ", "), err)
	}
	if err != nil {
		return Text{}, err
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(raw), "\uFFFD"))
	switch {
	case text == "":
		return Text{}, fmt.Errorf("constitution: %s holds no text", name)
	case len(raw) > maxBytes:
		return Text{}, fmt.Errorf("constitution: %s has %d bytes: want at most %d, it stands before every question",
			name,
			len(raw), maxBytes)
	}
	sum := sha256.Sum256([]byte(text))
	return Text{Name: name, Text: text, SHA256: hex.EncodeToString(sum[:])}, nil
}
