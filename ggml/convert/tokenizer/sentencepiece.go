package tokenizer

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/ollama/ollama/convert/sentencepiece"
	"google.golang.org/protobuf/proto"
)

// Scores of tokens that no merge leads to, as llama.cpp's converter writes them.
const (
	addedScore  = -1000
	unusedScore = -10000
)

// readSentencePiece reads tokenizer.model, a message of SentencePiece
// (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
func (t *Tokenizer) readSentencePiece(f *files, opt Options) error {
	path := f.path("tokenizer.model")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var m sentencepiece.ModelProto
	if err := proto.Unmarshal(raw, &m); err != nil || len(m.GetPieces()) == 0 {
		return fmt.Errorf("%s: not a SentencePiece model: want the one of the repository; a file of tiktoken has this "+
			"name in some, and then tokenizer.json is needed beside it", path)
	}
	kind := m.GetTrainerSpec().GetModelType()
	if kind != sentencepiece.TrainerSpec_BPE {
		return fmt.Errorf("%s: a SentencePiece model of type %s: %w: BPE is", path, kind, ErrUnsupported)
	}
	t.startSentencePiece(len(m.GetPieces()), opt.Rows)
	for i, p := range m.GetPieces() {
		if i >= len(t.Tokens) {
			t.notice("%d tokens of %s have no row among the %d of the embedding: they are left out",
				len(m.GetPieces())-i, path, len(t.Tokens))
			break
		}
		t.Tokens[i], t.Scores[i], t.Types[i] = p.GetPiece(), p.GetScore(), int32(p.GetType()) // the same numbers
		if t.Types[i] == userDefined {
			t.Tokens[i] = blanks(t.Tokens[i])
		}
	}
	if spec := m.GetNormalizerSpec(); spec != nil && spec.AddDummyPrefix != nil && !spec.GetAddDummyPrefix() {
		t.Add["space"] = false
	}
	if err := t.addListed(f); err != nil {
		return err
	}
	t.addSentencePiece(f)
	return nil
}

// startSentencePiece makes a vocabulary of unused tokens.
func (t *Tokenizer) startSentencePiece(tokens, rows int) {
	t.Model, t.Pre = "llama", "default"
	n := rows
	if n == 0 {
		n = tokens
	}
	t.Tokens, t.Types, t.Scores = make([]string, n), make([]int32, n), make([]float32, n)
	for i := range n {
		t.Tokens[i], t.Types[i], t.Scores[i] = fmt.Sprintf("[PAD%d]", i), unused, unusedScore
	}
}

// addListed adds the tokens of added_tokens.json, an older file: ids by token.
func (t *Tokenizer) addListed(f *files) error {
	if !f.has("added_tokens.json") {
		return nil
	}
	var listed map[string]int
	if err := readJSON(f.path("added_tokens.json"), &listed); err != nil {
		return err
	}
	for token, id := range listed {
		if a := (addedToken{ID: id, Content: token}); t.holds(a, f) {
			t.Tokens[id], t.Types[id], t.Scores[id] = token, userDefined, addedScore
		}
	}
	return nil
}

// addSentencePiece adds what was added to the model's pieces, and what the added tokens say of these.
func (t *Tokenizer) addSentencePiece(f *files) {
	seen := map[int]bool{}
	for _, a := range f.added() {
		if seen[a.ID] && (a.ID < 0 || a.ID >= len(t.Tokens)) {
			continue // it was said
		}
		seen[a.ID] = true
		if !t.holds(a, f) {
			continue
		}
		if a.Special || looksSpecial(a.Content) {
			t.Tokens[a.ID], t.Types[a.ID] = a.Content, control
		} else {
			t.Tokens[a.ID], t.Types[a.ID] = blanks(a.Content), userDefined
		}
		t.Scores[a.ID] = addedScore
	}
	if add, ok := f.config.flag("add_prefix_space"); ok {
		t.Add["space"] = add
	}
}

var byteName = regexp.MustCompile(`^<0x[0-9A-Fa-f]{2}>$`)

// readSentencePieceJSON reads a SentencePiece BPE of which tokenizer.json is all there is. Scores stand only in
// tokenizer.model; libllama merges the pair that makes the token of the highest score, and tokenizer.json says
// by its order which pair comes first. So a token's score is minus the place of its first merge.
func (t *Tokenizer) readSentencePieceJSON(f *files, opt Options) error {
	j := f.json
	vocab, err := j.vocab()
	if err != nil {
		return err
	}
	pairs, err := j.merges()
	if err != nil {
		return err
	}
	highest := 0
	for _, id := range vocab {
		highest = max(highest, id)
	}
	for _, a := range j.AddedTokens {
		highest = max(highest, a.ID)
	}
	rows := opt.Rows
	if rows == 0 {
		rows = highest + 1
	}
	if err := t.fill(j.path, vocab, rows); err != nil {
		return err
	}
	t.Model, t.Pre, t.Scores = "llama", "default", make([]float32, rows)
	for i, token := range t.Tokens {
		switch {
		case t.Types[i] == unused:
			t.Scores[i] = unusedScore
		case byteName.MatchString(token):
			t.Types[i] = byteToken
		case token == j.Model.UnkToken && token != "":
			t.Types[i] = unknown
		default:
			t.Scores[i] = -float32(len(pairs)) // a single character: nothing is merged to it
		}
	}
	t.scoreMerges(j.path, vocab, pairs)
	if t.Add["space"], err = j.blankBefore(); err != nil {
		return err
	}
	t.addSentencePiece(f)
	if id, ok := vocab[j.Model.UnkToken]; ok && id < rows {
		t.Types[id] = unknown
	}
	return nil
}

func (t *Tokenizer) scoreMerges(path string, vocab map[string]int, pairs [][2]string) {
	scored := map[int]int{} // the place of a token's first merge, and then of its last
	apart := 0
	for i, p := range pairs {
		id, ok := vocab[p[0]+p[1]]
		if !ok || id >= len(t.Scores) {
			continue
		}
		if last, again := scored[id]; !again {
			t.Scores[id] = -float32(i)
		} else if last != i-1 {
			apart++
		}
		scored[id] = i
	}
	if apart > 0 {
		t.notice("%s: %d of %d merges do not stand beside the others that make the same token, as SentencePiece's do: "+
			"libllama may split a few words otherwise", path, apart, len(pairs))
	}
}

// blankBefore tells whether a blank is put before a text.
func (j *tokenizerJSON) blankBefore() (bool, error) {
	steps := slices.Concat(j.Normalizer.steps(), j.PreTokenizer.steps())
	before := false
	for _, s := range steps {
		switch {
		case s.Type == "Prepend":
			before = true
		case s.Type == "Metaspace":
			before = s.PrependScheme != "never"
		case s.Type == "Replace" && s.Pattern.String == " ", s.Type == "Split" && s.Pattern.String == " ":
		default:
			return false, fmt.Errorf("%s: normalizer or pre_tokenizer %q of a SentencePiece BPE: %w: "+
				"Prepend, Replace of blanks and Metaspace are", j.path, strings.TrimSpace(s.describe()), ErrUnsupported)
		}
	}
	return before, nil
}
