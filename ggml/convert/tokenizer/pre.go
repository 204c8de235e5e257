package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// Regular expressions by which byte-level tokenizers split text, as tokenizer.json writes them.
const (
	splitLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|` +
		`\s*[\r\n]+|\s+(?!\S)|\s+`
	splitQwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|` +
		`\s*[\r\n]+|\s+(?!\S)|\s+`
	splitTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|` +
		` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	splitGPT4o = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` +
		`(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+` +
		`[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` +
		`\s*[\r\n]+|\s+(?!\S)|\s+`
	splitSeedCoder = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|` +
		`\s*[\r\n]+|\s+(?!\S)|\s+`
)

const bytes = "ByteLevel" // after a split of its own

// preTokenizers are those that libllama knows by a name: by their steps and by ignore_merges, which libllama
// takes from the name too. Sources: libllama's llama-vocab.cpp, where the expressions stand.
var preTokenizers = []struct {
	steps        string
	ignoreMerges bool
	name         string
}{
	{"Split " + splitLlama3 + "\n" + bytes, true, "llama-bpe"},
	{"Split " + splitLlama3 + "\n" + bytes, false, "dbrx"},
	{"Split " + splitQwen2 + "\n" + bytes, false, "qwen2"},
	{"Split " + splitTekken + "\n" + bytes, true, "tekken"},
	{"Split " + splitGPT4o + "\n" + bytes, false, "gpt-4o"},
	{"Split " + splitSeedCoder + "\n" + bytes, false, "seed-coder"},
	{"Digits\nByteLevel GPT-2", false, digitsName},
	{"ByteLevel GPT-2", false, "gpt-2"},
}

// digitsName stands for Options.Digits.
const digitsName = "digits"

// pre names the pre-tokenizer.
func (j *tokenizerJSON) pre(opt Options, notice func(string, ...any)) (string, error) {
	if opt.Pre != "" {
		return opt.Pre, nil
	}
	var steps []string
	for _, s := range j.PreTokenizer.steps() {
		steps = append(steps, s.describe())
	}
	all := strings.Join(steps, "\n")
	name, other := "", false
	for _, p := range preTokenizers {
		if p.steps != all {
			continue
		}
		if p.ignoreMerges == j.Model.IgnoreMerges {
			name, other = p.name, false
			break
		}
		name, other = p.name, true
	}
	if name == "" {
		return "", fmt.Errorf("%s: pre_tokenizer: %q: %w by this converter, which knows %s; if you know "+
			"libllama's name for it, give it with --pre", j.path, steps, ErrUnsupported, strings.Join(preNames(), ", "))
	}
	if other {
		notice("%s: model.ignore_merges is %t: libllama's pre-tokenizer %q means the opposite, and a few words become "+
			"other tokens", j.path, j.Model.IgnoreMerges, name)
	}
	if name == digitsName {
		name = opt.Digits
		if name == "" {
			name = "smollm"
		}
	}
	return name, nil
}

func preNames() []string {
	var names []string
	for _, p := range preTokenizers {
		if p.name != digitsName {
			names = append(names, p.name)
		}
	}
	names = append(names, "smollm", "refact")
	slices.Sort(names)
	return names
}

// describe writes a step as the table does; one of another kind reads as what it is.
func (n node) describe() string {
	switch {
	case n.Type == "Split" && n.Pattern.Regex != "" && strings.EqualFold(n.Behavior, "isolated") && !n.Invert,
		// The same pieces: what matches is kept, and nothing lies between.
		n.Type == "Split" && n.Pattern.Regex != "" && strings.EqualFold(n.Behavior, "removed") && n.Invert:
		return "Split " + n.Pattern.Regex
	case n.Type == "Split":
		return fmt.Sprintf("Split %s%s (%s, invert %t)", n.Pattern.Regex, n.Pattern.String, n.Behavior, n.Invert)
	case n.Type == "Digits" && n.Individual:
		return "Digits"
	case n.Type == "Digits":
		return "Digits in runs"
	case n.Type == "ByteLevel" && n.AddPrefix:
		return "ByteLevel with a blank before the text"
	case n.Type == "ByteLevel" && (n.UseRegex == nil || *n.UseRegex):
		return "ByteLevel GPT-2"
	}
	return n.Type
}
