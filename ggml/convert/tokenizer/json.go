package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// tokenizerJSON is the part of tokenizer.json (https://github.com/huggingface/tokenizers) that a GGUF file holds.
type tokenizerJSON struct {
	path         string
	AddedTokens  []addedToken   `json:"added_tokens"`
	Normalizer   *node          `json:"normalizer"`
	PreTokenizer *node          `json:"pre_tokenizer"`
	Post         *postProcessor `json:"post_processor"`
	Model        bpeModel       `json:"model"`
}

type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	Special    bool   `json:"special"`
	Normalized bool   `json:"normalized"`
}

type bpeModel struct {
	Type         string          `json:"type"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	UnkToken     string          `json:"unk_token"`
	Vocab        json.RawMessage `json:"vocab"` // of Unigram a list, which is refused
	Merges       json.RawMessage `json:"merges"`
}

// node is a normalizer or a pre-tokenizer, or a sequence of them.
type node struct {
	Type          string  `json:"type"`
	Normalizers   []node  `json:"normalizers"`
	PreTokenizers []node  `json:"pretokenizers"`
	Pattern       pattern `json:"pattern"`
	Behavior      string  `json:"behavior"`
	Invert        bool    `json:"invert"`
	Individual    bool    `json:"individual_digits"`
	UseRegex      *bool   `json:"use_regex"`
	AddPrefix     bool    `json:"add_prefix_space"`
	Prepend       string  `json:"prepend"`
	PrependScheme string  `json:"prepend_scheme"`
}

type pattern struct {
	Regex  string `json:"Regex"`
	String string `json:"String"`
}

// steps are the leaves of a sequence.
func (n *node) steps() []node {
	if n == nil {
		return nil
	}
	if n.Type != "Sequence" {
		return []node{*n}
	}
	var all []node
	for _, of := range [][]node{n.Normalizers, n.PreTokenizers} {
		for i := range of {
			all = append(all, of[i].steps()...)
		}
	}
	return all
}

// postProcessor puts special tokens around a text.
type postProcessor struct {
	Type       string          `json:"type"`
	Processors []postProcessor `json:"processors"`
	Single     []piece         `json:"single"`
	Pair       []piece         `json:"pair"`
}

type piece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID string `json:"id"`
	} `json:"Sequence"`
}

func (p piece) special() string {
	if p.SpecialToken == nil {
		return ""
	}
	return p.SpecialToken.ID
}

func (m *bpeModel) isByteLevel(j *tokenizerJSON) bool {
	if m.Type != "BPE" && m.Type != "" || m.ByteFallback {
		return false
	}
	for _, s := range j.PreTokenizer.steps() {
		if s.Type == "ByteLevel" {
			return true
		}
	}
	return false
}

func (m *bpeModel) isSentencePiece() bool { return m.Type == "BPE" && m.ByteFallback }

// vocab is the vocabulary by token.
func (j *tokenizerJSON) vocab() (map[string]int, error) {
	var v map[string]int
	if err := json.Unmarshal(j.Model.Vocab, &v); err != nil {
		return nil, fmt.Errorf("%s: model.vocab: want tokens with their ids: %w", j.path, err)
	}
	if len(v) == 0 {
		return nil, fmt.Errorf("%s: model.vocab is empty", j.path)
	}
	return v, nil
}

// merges are pairs of tokens: in older files "a b", in newer ones ["a", "b"].
func (j *tokenizerJSON) merges() ([][2]string, error) {
	if len(j.Model.Merges) == 0 {
		return nil, j.noMerges()
	}
	var pairs [][2]string
	if err := json.Unmarshal(j.Model.Merges, &pairs); err == nil && len(pairs) > 0 {
		return pairs, nil
	}
	var lines []string
	if err := json.Unmarshal(j.Model.Merges, &lines); err != nil {
		return nil, fmt.Errorf("%s: model.merges: want pairs of tokens, as lists of two or with a blank "+
			"between", j.path)
	}
	if len(lines) == 0 {
		return nil, j.noMerges()
	}
	pairs = make([][2]string, len(lines))
	for i, l := range lines {
		a, b, ok := strings.Cut(l, " ")
		if !ok || a == "" || b == "" || strings.Contains(b, " ") {
			return nil, fmt.Errorf("%s: model.merges[%d] is %q: want two tokens with one blank between", j.path, i, l)
		}
		pairs[i] = [2]string{a, b}
	}
	return pairs, nil
}

func (j *tokenizerJSON) noMerges() error {
	return fmt.Errorf("%s: model.merges is missing or empty: without merges every text becomes single characters; "+
		"download the file again, or save the tokenizer anew with transformers", j.path)
}

// configJSON is tokenizer_config.json.
type configJSON map[string]json.RawMessage

// text is a string, or the "content" of an object, as older files write tokens; "" if there is neither.
func (c configJSON) text(key string) string {
	var s string
	if json.Unmarshal(c[key], &s) == nil {
		return s
	}
	var o struct {
		Content string `json:"content"`
	}
	if json.Unmarshal(c[key], &o) == nil {
		return o.Content
	}
	return ""
}

// flag is a bool and whether there is one.
func (c configJSON) flag(key string) (value, ok bool) {
	var b *bool
	if json.Unmarshal(c[key], &b) != nil || b == nil {
		return false, false
	}
	return *b, true
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + strings.Count(string(raw[:min(int(syntax.Offset), len(raw))]), "\n")
			return fmt.Errorf("%s: line %d: %w", path, line, err)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
