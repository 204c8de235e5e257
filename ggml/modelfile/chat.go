package modelfile

import (
	"slices"

	"steer/ggml/gguf"
	"steer/ggml/lm"
)

// keyTemplate holds a model's chat template, in Jinja.
const keyTemplate = "tokenizer.chat_template"

// namedTokens are the keys of special tokens with the names that templates have for them.
var namedTokens = []struct{ name, key string }{
	{"bos_token", keyBOS}, {"eos_token", keyEOS}, {"unk_token", "tokenizer.ggml.unknown_token_id"},
	{"pad_token", "tokenizer.ggml.padding_token_id"}, {"sep_token", "tokenizer.ggml.seperator_token_id"},
	{"cls_token", "tokenizer.ggml.cls_token_id"}, {"mask_token", "tokenizer.ggml.mask_token_id"},
}

// endTokens are the keys of the tokens that end a turn or a message.
var endTokens = []string{"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}

// chat reads what the file says of conversations; ids outside the vocabulary are left out.
func (t *table) chat(v Vocabulary) lm.Chat {
	c := lm.Chat{Names: map[string]string{}}
	c.Template, _ = t.f.String(keyTemplate)
	spell := func(id int32) string {
		if id < 0 || int(id) >= len(t.tokens) {
			return ""
		}
		return t.tokens[id]
	}
	of := func(key string) string {
		id, err := t.f.Uint32(key)
		if err != nil || int64(id) >= int64(len(t.tokens)) {
			return ""
		}
		return t.tokens[id]
	}
	for _, n := range namedTokens {
		if s := of(n.key); s != "" {
			c.Names[n.name] = s
		}
	}
	for name, id := range map[string]int32{"bos_token": v.BOS,
		"eos_token": v.EOS} { // those that the kind implies, too
		if s := spell(id); s != "" {
			c.Names[name] = s
		}
	}
	for _, s := range []string{of(endTokens[0]), of(endTokens[1]), spell(v.EOS)} {
		if s != "" && !slices.Contains(c.Ends, s) {
			c.Ends = append(c.Ends, s)
		}
	}
	for id, token := range t.tokens {
		if k := t.typeOf(int32(id)); token != "" && (k == typeControl || k == typeUserDefined) {
			c.Marks = append(c.Marks, token)
		}
	}
	return c
}

// HasTemplate says that a model's file brings a chat template.
func HasTemplate(f *gguf.File) bool {
	s, err := f.String(keyTemplate)
	return err == nil && s != ""
}
