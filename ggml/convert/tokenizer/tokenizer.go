package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"steer/ggml/gguf"
)

// Kinds of tokens, as GGUF numbers them.
const (
	normal      int32 = 1
	unknown     int32 = 2
	control     int32 = 3
	userDefined int32 = 4
	unused      int32 = 5
	byteToken   int32 = 6
)

// ErrUnsupported is wrapped where a tokenizer is one that GGUF or libllama cannot hold.
var ErrUnsupported = errors.New("this tokenizer is not supported")

// Options say what the tokenizer's own files do not.
type Options struct {
	// Rows is how many rows the embedding has; shorter vocabularies are filled up, as llama.cpp does.
	Rows int
	// Ids are special tokens by the names of config.json ("eos_token_id"), where the tokenizer names none.
	Ids map[string]int
	// Pre names the pre-tokenizer of a byte-level BPE; "": found from tokenizer.json.
	Pre string
	// Digits names the pre-tokenizer that splits off every digit; libllama has several names for it.
	Digits string
}

// Tokenizer is a vocabulary and what belongs to it.
type Tokenizer struct {
	Model  string // "gpt2": byte-level BPE; "llama": SentencePiece
	Pre    string
	Tokens []string
	Scores []float32 // of "llama"
	Types  []int32
	Merges []string // of "gpt2"

	Special map[string]uint32 // by GGUF's names: bos, eos, unknown, seperator, padding, cls, mask, eot, eom
	Add     map[string]bool   // bos, eos, sep: put around a text; space: put a blank before it
	// Template is the chat template, Named are the others that have a name.
	Template string
	Named    map[string]string

	Notices []string
}

// Read reads the tokenizer in a folder.
func Read(dir string, opt Options) (*Tokenizer, error) {
	f, err := readFiles(dir)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{Special: map[string]uint32{}, Add: map[string]bool{}, Named: map[string]string{}}
	switch {
	case f.json != nil && f.json.Model.isByteLevel(f.json):
		err = t.readBPE(f, opt)
	case f.has("tokenizer.model"):
		err = t.readSentencePiece(f, opt)
	case f.json != nil && f.json.Model.isSentencePiece():
		err = t.readSentencePieceJSON(f, opt)
	default:
		err = f.noTokenizer()
	}
	if err != nil {
		return nil, err
	}
	if err := t.readSpecial(f, opt); err != nil {
		return nil, err
	}
	return t, t.readTemplates(f)
}

func (t *Tokenizer) notice(format string, args ...any) {
	t.Notices = append(t.Notices, fmt.Sprintf(format, args...))
}

// Write sets the tokenizer.* keys.
func (t *Tokenizer) Write(w *gguf.Writer) {
	w.SetString("tokenizer.ggml.model", t.Model)
	w.SetString("tokenizer.ggml.pre", t.Pre)
	w.SetStrings("tokenizer.ggml.tokens", t.Tokens)
	if t.Scores != nil {
		w.SetFloat32s("tokenizer.ggml.scores", t.Scores)
	}
	w.SetInt32s("tokenizer.ggml.token_type", t.Types)
	if t.Merges != nil {
		w.SetStrings("tokenizer.ggml.merges", t.Merges)
	}
	for _, kind := range specialOrder {
		if id, ok := t.Special[kind]; ok {
			w.SetUint32("tokenizer.ggml."+kind+"_token_id", id)
		}
	}
	for _, kind := range []string{"bos", "eos", "sep"} {
		if add, ok := t.Add[kind]; ok {
			w.SetBool("tokenizer.ggml.add_"+kind+"_token", add)
		}
	}
	if add, ok := t.Add["space"]; ok {
		w.SetBool("tokenizer.ggml.add_space_prefix", add)
	}
	t.writeTemplates(w)
}

// files are those of a tokenizer; what is not there is nil.
type files struct {
	dir    string
	json   *tokenizerJSON
	config configJSON
}

func readFiles(dir string) (*files, error) {
	f := &files{dir: dir}
	var j tokenizerJSON
	switch err := readJSON(f.path("tokenizer.json"), &j); {
	case err == nil:
		f.json = &j
		j.path = f.path("tokenizer.json")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := readJSON(f.path("tokenizer_config.json"), &f.config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f, nil
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

func (f *files) has(name string) bool {
	st, err := os.Stat(f.path(name))
	return err == nil && st.Mode().IsRegular()
}

// noTokenizer says which tokenizer is missing or of another kind.
func (f *files) noTokenizer() error {
	switch {
	case f.json != nil:
		return fmt.Errorf("%s: model.type is %q without byte_fallback and without a ByteLevel pre_tokenizer: %w: "+
			"byte-level BPE and SentencePiece's BPE with byte fallback are", f.json.path, f.json.Model.Type,
			ErrUnsupported)
	case f.has("tekken.json"):
		return fmt.Errorf("%s: the tokenizer is there in Mistral's own form alone (tekken.json): %w: take a "+
			"repository that has tokenizer.json beside it", f.dir, ErrUnsupported)
	case f.has("vocab.json"):
		return fmt.Errorf("%s: the tokenizer is there as vocab.json and merges.txt alone: %w: make its "+
			"tokenizer.json with transformers (AutoTokenizer.from_pretrained(...).save_pretrained(...))", f.dir,
			ErrUnsupported)
	}
	return fmt.Errorf("%s: no tokenizer: want tokenizer.json or tokenizer.model beside config.json", f.dir)
}
