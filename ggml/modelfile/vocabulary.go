package modelfile

import (
	"fmt"
	"strings"

	"steer/ggml/gguf"
	"steer/ggml/lm"
)

// Vocabulary is what the header says of the tokenizer.
type Vocabulary struct {
	// Kind is llama (SentencePiece), gpt2 (byte-level BPE), or no_vocab: token ids alone.
	Kind string
	// BOS and EOS are -1 where the file names none. libllama would take token 11 of a BPE
	// vocabulary, whatever that is.
	BOS, EOS int32
	// AddsEOS: an EOS belongs behind every text.
	AddsEOS bool
	// Chat is what the file says of conversations.
	Chat lm.Chat
}

// Keys of the tokenizer's metadata.
const (
	keyKind   = "tokenizer.ggml.model"
	keyPre    = "tokenizer.ggml.pre"
	keyTokens = "tokenizer.ggml.tokens"
	keyScores = "tokenizer.ggml.scores"
	keyTypes  = "tokenizer.ggml.token_type"
	keyMerges = "tokenizer.ggml.merges"
	keyBOS    = "tokenizer.ggml.bos_token_id"
	keyEOS    = "tokenizer.ggml.eos_token_id"
	keyAddEOS = "tokenizer.ggml.add_eos_token"
)

// Kinds of vocabularies.
const (
	kindSPM = "llama"
	kindBPE = "gpt2"
)

// Types of tokens (llama.cpp's llama_token_type) that matter here.
const (
	typeNormal      = 1
	typeControl     = 3
	typeUserDefined = 4
)

// vocabulary makes sure that the vocabulary has as many tokens as the embedding has
// rows, and that its tables are as long as it is: libllama reads them without looking.
func vocabulary(f *gguf.File) (v Vocabulary, warnings []string, err error) {
	v = Vocabulary{BOS: -1, EOS: -1}
	rows := int64(-1)
	if table, ok := f.Tensor("token_embd.weight"); ok && len(table.Dims) == 2 {
		rows = table.Dims[1] // else checkTensors says so
	}
	if v.Kind, err = f.String(keyKind); err != nil {
		return v, nil, err
	}
	switch v.Kind {
	case "no_vocab", "none":
		arch, _ := f.String("general.architecture")
		n, err := f.Uint32(arch + ".vocab_size")
		if err == nil && rows >= 0 && int64(n) != rows {
			err = fmt.Errorf("%s.vocab_size is %d, token_embd.weight has %d rows: "+
				"the metadata and the weights do not belong together", arch, n, rows)
		}
		return v, nil, err
	case kindSPM, kindBPE:
	default:
		return v, nil, fmt.Errorf("tokenizer.ggml.model is %q: %w: "+
			"supported are llama (SentencePiece), gpt2 (byte-level BPE) and no_vocab", v.Kind, ErrUnsupported)
	}
	tokens, err := f.Strings(keyTokens)
	if err != nil {
		return v, nil, err
	}
	if rows >= 0 && int64(len(tokens)) != rows {
		return v, nil, fmt.Errorf("tokenizer.ggml.tokens has %d tokens, token_embd.weight has %d rows: "+
			"the metadata and the weights do not belong together", len(tokens), rows)
	}
	types, err := checkTables(f, v.Kind, tokens)
	if err != nil {
		return v, nil, err
	}
	t := table{f: f, kind: v.Kind, tokens: tokens, types: types}
	if v.BOS, err = t.special(keyBOS, 1, "<s>"); err != nil {
		return v, nil, err
	}
	if v.EOS, err = t.special(keyEOS, 2, "</s>"); err != nil {
		return v, nil, err
	}
	v.AddsEOS, _ = f.Bool(keyAddEOS)
	v.Chat = t.chat(v)
	return v, t.warnings(v), nil
}

// checkTables checks the tables that libllama reads beside the tokens; types is nil where
// the file has none.
func checkTables(f *gguf.File, kind string, tokens []string) (types []int32, err error) {
	seen := make(map[string]int, len(tokens))
	for i, token := range tokens {
		if token == "" {
			token = fmt.Sprintf("[EMPTY_%d]", i) // as libllama renames it
		}
		if j, ok := seen[token]; ok {
			return nil, fmt.Errorf("tokenizer.ggml.tokens: tokens %d and %d are both %q", j, i, token)
		}
		seen[token] = i
	}
	length := func(key string, n int) error {
		if n != len(tokens) {
			return fmt.Errorf("%s is %s of %d: want one for each of the %d tokens", key, f.TypeOf(key), max(n, 0),
				len(tokens))
		}
		return nil
	}
	if f.Has(keyScores) {
		scores, err := f.Float32s(keyScores)
		if err != nil {
			return nil, err
		}
		if err := length(keyScores, len(scores)); err != nil {
			return nil, err
		}
	}
	if f.Has(keyTypes) {
		if u, ok := f.Value(keyTypes).([]uint32); ok {
			for _, t := range u {
				types = append(types, int32(t))
			}
		} else if types, err = f.Int32s(keyTypes); err != nil {
			return nil, err
		}
		if err := length(keyTypes, len(types)); err != nil {
			return nil, err
		}
	}
	if kind == kindBPE {
		if _, err := f.Strings(keyMerges); err != nil {
			return nil, err
		}
	}
	return types, nil
}

// table is a vocabulary that is being read.
type table struct {
	f      *gguf.File
	kind   string
	tokens []string
	types  []int32 // nil: not known
}

func (t *table) typeOf(id int32) int32 {
	if t.types == nil {
		return 0
	}
	return t.types[id]
}

// special is the token that a key names. Where it is missing, a SentencePiece vocabulary has
// its usual one if that is what it looks like; no other has any.
func (t *table) special(key string, usual int32, spelled string) (int32, error) {
	if !t.f.Has(key) {
		if t.kind == kindSPM && int(usual) < len(t.tokens) &&
			(t.tokens[usual] == spelled || t.typeOf(usual) == typeControl) {
			return usual, nil
		}
		return -1, nil
	}
	id, err := t.f.Uint32(key)
	if err != nil {
		return -1, err
	}
	if int64(id) >= int64(len(t.tokens)) {
		return -1, fmt.Errorf("%s is %d, the vocabulary has %d tokens: the file is wrong about itself; "+
			"convert the model again with a current llama.cpp", key, id, len(t.tokens))
	}
	return int32(id), nil
}

// warnings are what is read otherwise than the model was trained on, or may be.
func (t *table) warnings(v Vocabulary) (out []string) {
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if v.EOS < 0 {
		warn("the model's file names no EOS token (%s): training puts none behind an answer, "+
			"and answers end at the template's own mark or at their greatest length", keyEOS)
	}
	if v.BOS < 0 {
		warn("the model's file names no BOS token (%s): none is put before a text, nor where a template asks for one",
			keyBOS)
	}
	for _, s := range []struct {
		key string
		id  int32
	}{{keyBOS, v.BOS}, {keyEOS, v.EOS}} {
		if s.id >= 0 && t.typeOf(s.id) == typeNormal &&
			!strings.ContainsAny(t.tokens[s.id][:min(1, len(t.tokens[s.id]))], "<[") {
			warn("%s is token %d, %q, which is an ordinary one: wherever a text holds it, it is read as that mark",
				s.key, s.id, t.tokens[s.id])
		}
	}
	if t.kind == kindBPE {
		if pre, _ := t.f.String(keyPre); !knownPre(pre) {
			what := fmt.Sprintf("is %.40q, which this llama.cpp does not know", pre)
			if pre == "" {
				what = "is missing"
			}
			warn("%s %s: text is split by default rules, so that words such as \"don't\", numbers and "+
				"blanks can become "+
				"other tokens than the model was trained on, and results are worse and not those of other programs; "+
				"convert the model again with a current llama.cpp", keyPre, what)
		}
	}
	var typed []string
	for id, token := range t.tokens {
		if t.typeOf(int32(id)) == typeUserDefined && isTurnMark(token) {
			typed = append(typed, token)
		}
	}
	if len(typed) > 0 {
		warn("the vocabulary reads %s as marks of a chat wherever a text spells them (type USER_DEFINED), "+
			"what users typed included", strings.Join(typed, ", "))
	}
	return out
}

// isTurnMark tells whether a token is a mark of a chat that stays what its type says, because
// templates spell it as text, too. (Marks of the form <|name|> are made control tokens when the
// model is loaded, so that in a user's text they stay text.)
func isTurnMark(token string) bool {
	switch token {
	case "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>", "<s>", "</s>":
		return true
	}
	return false
}
