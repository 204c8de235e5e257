package gguftest

import (
	"fmt"

	"steer/ggml/gguf"
)

// Ids of the vocabulary that Options.BPE writes: first the 256 bytes, then the marks.
const (
	BPEEnd      = 256 + iota // <|endoftext|>, BOS and EOS
	BPETurn                  // <|im_start|>
	BPETurnEnd               // <|im_end|>
	BPEMerged                // "th", the one merge
	bpeSmallest              // tokens
)

// setBPE sets a byte-level BPE vocabulary of n tokens in which every text can be spelled. Token
// i is byte i for i below 256, as GPT-2's alphabet writes it; what follows the marks are words
// that no text becomes.
func setBPE(w *gguf.Writer, n int) error {
	if n < bpeSmallest {
		return fmt.Errorf("gguftest: a BPE vocabulary of %d tokens: want %d or more", n, bpeSmallest)
	}
	tokens := make([]string, n)
	types := make([]int32, n)
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if b <= ' ' || b >= 0x7f && b <= 0xa0 || b == 0xad { // these have no printable form of their own
			r = next
			next++
		}
		tokens[b], types[b] = string(r), tokenNormal
	}
	for id := BPEEnd; id < n; id++ {
		types[id] = tokenNormal
		switch id {
		case BPEEnd:
			tokens[id], types[id] = "<|endoftext|>", tokenControl
		case BPETurn:
			tokens[id], types[id] = "<|im_start|>", tokenControl
		case BPETurnEnd:
			tokens[id], types[id] = "<|im_end|>", tokenControl
		case BPEMerged:
			tokens[id] = "th"
		default:
			tokens[id] = fmt.Sprintf("unused%d", id)
		}
	}
	w.SetString("tokenizer.ggml.model", "gpt2")
	w.SetString("tokenizer.ggml.pre", "smollm")
	w.SetStrings("tokenizer.ggml.tokens", tokens)
	w.SetInt32s("tokenizer.ggml.token_type", types)
	w.SetStrings("tokenizer.ggml.merges", []string{"t h"})
	w.SetUint32("tokenizer.ggml.bos_token_id", BPEEnd)
	w.SetUint32("tokenizer.ggml.eos_token_id", BPEEnd)
	w.SetBool("tokenizer.ggml.add_bos_token", false)
	return nil
}
