package tokenizer

import (
	"fmt"
	"strings"
)

// readBPE reads a byte-level BPE, GGUF's "gpt2".
func (t *Tokenizer) readBPE(f *files, opt Options) error {
	j := f.json
	vocab, err := j.vocab()
	if err != nil {
		return err
	}
	pairs, err := j.merges()
	if err != nil {
		return err
	}
	t.Model = "gpt2"
	if t.Pre, err = j.pre(opt, t.notice); err != nil {
		return err
	}
	if err := j.checkNormalizer(); err != nil {
		return err
	}
	if err := t.fill(j.path, vocab, opt.Rows); err != nil {
		return err
	}
	for _, a := range f.added() {
		if !t.holds(a, f) {
			continue
		}
		if a.Special || looksSpecial(a.Content) {
			t.Tokens[a.ID], t.Types[a.ID] = a.Content, control
		} else {
			t.Tokens[a.ID], t.Types[a.ID] = blanks(a.Content), userDefined
		}
	}
	if add, ok := f.config.flag("add_prefix_space"); ok {
		t.Add["space"] = add
	}
	t.Merges = make([]string, len(pairs))
	for i, p := range pairs {
		// A blank within a token would be taken for the one between them; byte 32 is written as U+0120.
		t.Merges[i] = strings.ReplaceAll(p[0], " ", "Ġ") + " " + strings.ReplaceAll(p[1], " ", "Ġ")
	}
	return nil
}

// fill makes a vocabulary of so many rows (0: as many as there are tokens); what has no token is unused.
func (t *Tokenizer) fill(path string, vocab map[string]int, rows int) error {
	highest := -1
	for token, id := range vocab {
		if id < 0 || id > 1<<24 {
			return fmt.Errorf("%s: model.vocab: token %.40q has id %d: want 0 or more, below "+
				"%d", path, token, id, 1<<24)
		}
		highest = max(highest, id)
	}
	n := rows
	if n == 0 {
		n = highest + 1
	}
	t.Tokens, t.Types = make([]string, n), make([]int32, n)
	for i := range n {
		t.Tokens[i], t.Types[i] = fmt.Sprintf("[PAD%d]", i), unused
	}
	beyond := 0
	for token, id := range vocab {
		if id >= n {
			beyond++
			continue
		}
		if t.Types[id] != unused {
			return fmt.Errorf("%s: model.vocab: id %d is given to %.40q and to %.40q", path, id, t.Tokens[id], token)
		}
		t.Tokens[id], t.Types[id] = token, normal
	}
	if beyond > 0 {
		t.notice("%d tokens of %s have no row among the %d of the embedding: they are left out", beyond, path, n)
	}
	return nil
}

// holds tells whether an added token has a row; what has none is left out, aloud.
func (t *Tokenizer) holds(a addedToken, f *files) bool {
	if a.ID >= 0 && a.ID < len(t.Tokens) {
		return true
	}
	t.notice("the added token %q (id %d) has no row among the %d of the embedding: it is left out", a.Content, a.ID,
		len(t.Tokens))
	return false
}

// added are the tokens added to the model's own: those of tokenizer_config.json, then those of tokenizer.json.
func (f *files) added() []addedToken {
	all := f.config.added()
	if f.json != nil {
		all = append(all, f.json.AddedTokens...)
	}
	return all
}

// looksSpecial tells tokens that are marks of a chat though their repository does not say so. The rule is
// llama.cpp's, so that its converter's files and ours mean the same.
func looksSpecial(token string) bool {
	switch token {
	case "<pad>", "<mask>", "<2mass>", "[@BOS@]":
		return true
	}
	within := func(a, b string) bool { return strings.HasPrefix(token, a) && strings.HasSuffix(token, b) }
	return within("<|", "|>") || within("<｜", "｜>") || within("<unused", ">")
}

// blanks writes SentencePiece's blank as one: libllama looks for such tokens in the text as it comes.
func blanks(token string) string { return strings.ReplaceAll(token, "▁", " ") }

// checkNormalizer refuses what changes a text before it is split, in a way that a GGUF file cannot say. NFC is
// let pass: libllama does without it, in its own converter's files too.
func (j *tokenizerJSON) checkNormalizer() error {
	for _, s := range j.Normalizer.steps() {
		if s.Type != "NFC" {
			return fmt.Errorf("%s: normalizer %q of a byte-level BPE: %w: none and NFC "+
				"are", j.path, s.Type, ErrUnsupported)
		}
	}
	return nil
}
