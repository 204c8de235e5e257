package data

import (
	"regexp"
	"strings"
)

// wordTokenizer is a small stand-in for a real tokenizer: a run of newlines, a word
// with the blank before it, or a single character is a token. With spm it puts a
// blank before every text, as Llama's SentencePiece does.
type wordTokenizer struct {
	spm    bool
	bos    bool
	pieces map[string]int32
	names  []string
}

var wordPattern = regexp.MustCompile(`\n+| ?[\p{L}\p{N}]+|(?s:.)`)

const (
	fakeBOS = 0
	fakeEOS = 1
)

func newWordTokenizer(spm, bos bool) *wordTokenizer {
	return &wordTokenizer{spm: spm, bos: bos, pieces: map[string]int32{}, names: []string{"<s>", "</s>"}}
}

func (w *wordTokenizer) Encode(text string, addSpecial, parseSpecial bool) ([]int32, error) {
	var ids []int32
	if addSpecial && w.bos {
		ids = append(ids, fakeBOS)
	}
	if w.spm && text != "" {
		text = " " + text
	}
	for text != "" {
		piece := ""
		if parseSpecial {
			for _, s := range []string{"<|im_start|>", "<|im_end|>"} {
				if strings.HasPrefix(text, s) {
					piece = s
				}
			}
		}
		if piece == "" {
			limit := len(text)
			if at := strings.Index(text, "<|im_"); parseSpecial && at > 0 {
				limit = at
			}
			piece = wordPattern.FindString(text[:limit])
		}
		id, known := w.pieces[piece]
		if !known {
			id = int32(len(w.names))
			w.pieces[piece] = id
			w.names = append(w.names, piece)
		}
		ids = append(ids, id)
		text = text[len(piece):]
	}
	return ids, nil
}

func (w *wordTokenizer) Decode(tokens []int32, special bool) string {
	var b strings.Builder
	for _, t := range tokens {
		if t > fakeEOS || special {
			b.WriteString(w.names[t])
		}
	}
	return b.String()
}

func (w *wordTokenizer) BOS() int32 {
	if w.bos {
		return fakeBOS
	}
	return -1
}
func (w *wordTokenizer) EOS() int32     { return fakeEOS }
func (w *wordTokenizer) VocabSize() int { return 1 << 20 }
