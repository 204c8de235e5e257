package traintest

import (
	"strings"

	"steer/ggml/lm"
)

// letters are tokens 2 and up; 0 is BOS, 1 is EOS.
const letters = " abcdefghijklmnopqrstuvwxyz0123456789.,?!:;'#-\n"

// The special tokens of Letters as text.
const (
	BOSText = "<s>"
	EOSText = "</s>"
)

// Letters is a tokenizer of one token a letter: lower case, digits, some
// punctuation. Upper case is lowered; any other byte becomes '?'.
type Letters struct{}

var _ lm.Tokenizer = Letters{}

// Encode implements lm.Tokenizer; addSpecial puts BOS in front.
func (Letters) Encode(text string, addSpecial, parseSpecial bool) ([]int32, error) {
	ids := []int32{}
	if addSpecial {
		ids = append(ids, 0)
	}
	for len(text) > 0 {
		switch {
		case parseSpecial && strings.HasPrefix(text, BOSText):
			ids, text = append(ids, 0), text[len(BOSText):]
			continue
		case parseSpecial && strings.HasPrefix(text, EOSText):
			ids, text = append(ids, 1), text[len(EOSText):]
			continue
		}
		k := strings.IndexByte(letters, strings.ToLower(text[:1])[0])
		if k < 0 {
			k = strings.IndexByte(letters, '?')
		}
		ids, text = append(ids, int32(k+2)), text[1:]
	}
	return ids, nil
}

// Decode implements lm.Tokenizer.
func (Letters) Decode(tokens []int32, special bool) string {
	var b strings.Builder
	for _, id := range tokens {
		switch {
		case id >= 2 && int(id)-2 < len(letters):
			b.WriteByte(letters[id-2])
		case id == 0 && special:
			b.WriteString(BOSText)
		case id == 1 && special:
			b.WriteString(EOSText)
		}
	}
	return b.String()
}

// BOS implements lm.Tokenizer.
func (Letters) BOS() int32 { return 0 }

// EOS implements lm.Tokenizer.
func (Letters) EOS() int32 { return 1 }

// VocabSize implements lm.Tokenizer.
func (Letters) VocabSize() int { return len(letters) + 2 }
