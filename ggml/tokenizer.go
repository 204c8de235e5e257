package ggml

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"steer/ggml/lm"
)

// ErrNoTokenizer: the model's file holds none (tokenizer.ggml.model is no_vocab), it
// works on token ids alone.
var ErrNoTokenizer = errors.New("the model has no tokenizer")

// Tokenizer is the model's own tokenizer.
type Tokenizer struct{ m *Model }

var (
	_ lm.Tokenizer = (*Tokenizer)(nil)
	_ lm.Chatter   = (*Tokenizer)(nil)
)

// Chat is what the model's file says of conversations.
func (t *Tokenizer) Chat() lm.Chat { return t.m.vocab.Chat }

// Tokenizer returns the model's tokenizer. It lives as long as the model.
func (m *Model) Tokenizer() *Tokenizer { return &Tokenizer{m} }

// Encode tokenizes text. addSpecial adds BOS and EOS where the model asks for it;
// parseSpecial reads special tokens written out in the text. A NUL byte is a character like
// any other.
func (t *Tokenizer) Encode(text string, addSpecial, parseSpecial bool) ([]int32, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("tokenize: text is not valid UTF-8 at byte %d: convert it to UTF-8", invalidAt(text))
	}
	tokens, err := t.encode(spelling{text, parseSpecial})
	if err != nil || !addSpecial {
		return tokens, err
	}
	// Not libllama's work, which has a token for both even where the file names none.
	if t.AddsBOS() {
		tokens = slices.Insert(tokens, 0, t.BOS())
	}
	if t.m.vocab.AddsEOS && t.EOS() >= 0 {
		tokens = append(tokens, t.EOS())
	}
	return tokens, nil
}

func (t *Tokenizer) encode(short spelling) ([]int32, error) {
	if tokens, ok := t.m.spellings.get(short); ok {
		return tokens, nil
	}
	var tokens []int32
	err := t.m.reading(func() error {
		if !t.m.native.HasTokenizer() {
			return fmt.Errorf("tokenize: %w (%s): take a GGUF file that holds its vocabulary, or give token ids",
				ErrNoTokenizer, t.m.info.Path)
		}
		var ok bool
		tokens, ok = t.m.native.Tokenize(short.text, false, short.parseSpecial)
		if !ok {
			return fmt.Errorf("tokenize: libllama failed on a text of %d bytes", len(short.text))
		}
		t.m.spellings.put(short, tokens)
		return nil
	})
	return tokens, err
}

func invalidAt(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

// Decode renders tokens; ids outside the vocabulary are left out. It is "" once the
// model is closed, and where it has no tokenizer.
func (t *Tokenizer) Decode(tokens []int32, special bool) string {
	valid := make([]int32, 0, len(tokens))
	for _, id := range tokens {
		if id >= 0 && int(id) < t.m.info.Vocab {
			valid = append(valid, id)
		}
	}
	var text string
	_ = t.m.reading(func() error {
		if !t.m.native.HasTokenizer() {
			return nil
		}
		text, _ = t.m.native.Detokenize(valid, special)
		return nil
	})
	return text
}

// BOS is the beginning-of-sequence token, -1 if the model's file names none.
func (t *Tokenizer) BOS() int32 { return t.m.vocab.BOS }

// EOS is the end-of-sequence token, -1 if the model's file names none.
func (t *Tokenizer) EOS() int32 { return t.m.vocab.EOS }

// AddsBOS tells whether Encode with addSpecial puts BOS in front.
func (t *Tokenizer) AddsBOS() bool { return t.m.info.AddsBOS }

// VocabSize is the number of token ids.
func (t *Tokenizer) VocabSize() int { return t.m.info.Vocab }
