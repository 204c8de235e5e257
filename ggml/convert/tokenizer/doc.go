// Package tokenizer reads the tokenizer of a model repository (tokenizer.json, tokenizer.model,
// tokenizer_config.json, generation_config.json, chat templates) as what a GGUF file says of one:
//
//	t, err := tokenizer.Read(dir, tokenizer.Options{Rows: 32000})
//	t.Write(w)                     // the tokenizer.* keys
//	for _, n := range t.Notices {} // what a user has to know
//
// Two kinds are read. Byte-level BPE, of which libllama has to know by name how text is split first
// ("tokenizer.ggml.pre"): the name is found from the definition in tokenizer.json (pre.go). And
// SentencePiece's BPE with byte fallback, from tokenizer.model, or from tokenizer.json where that is all
// there is. Others (Unigram, WordPiece, ...) are refused.
//
// It may import ggml/gguf and internal; only ggml/convert imports it.
package tokenizer
