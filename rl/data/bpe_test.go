package data

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// bpe is the byte-level BPE of a tokenizer.json, with special tokens added: just enough to compare
// with what transformers does to a small vocabulary.
type bpe struct {
	vocab   map[string]int32
	ranks   map[[2]string]int
	letters [256]rune // GPT-2's alphabet of bytes
	special []string
	first   int32 // id of the first special token
}

func readBPE(t *testing.T, special []string) *bpe {
	raw, err := os.ReadFile(testfiles.Golden(t, "chat/generation_tokenizer.json"))
	require.NoError(t, err)
	var file struct {
		Model struct {
			Vocab  map[string]int32
			Merges [][2]string
		}
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	b := &bpe{vocab: file.Model.Vocab, ranks: map[[2]string]int{}, special: special,
		first: int32(len(file.Model.Vocab))}
	for i, m := range file.Model.Merges {
		b.ranks[m] = i
	}
	next := rune(256)
	for i := range 256 {
		if i >= '!' && i <= '~' || i >= 0xa1 && i <= 0xac || i >= 0xae {
			b.letters[i] = rune(i)
			continue
		}
		b.letters[i] = next
		next++
	}
	return b
}

// words divides a text as GPT-2 does: 's|'t|'re|'ve|'m|'ll|'d| ?letters| ?numbers| ?others|blanks.
func (b *bpe) words(text string) (out []string) {
	r := []rune(text)
	class := func(c rune) int {
		switch {
		case unicode.IsSpace(c):
			return 0
		case unicode.IsLetter(c):
			return 1
		case unicode.IsNumber(c):
			return 2
		}
		return 3
	}
	for i := 0; i < len(r); {
		j := i
		if r[i] == '\'' {
			for _, s := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
				if strings.HasPrefix(string(r[i:min(len(r), i+3)]), s) {
					j = i + len(s)
					break
				}
			}
		}
		if j == i {
			begin := i
			if r[i] == ' ' && i+1 < len(r) && class(r[i+1]) != 0 {
				begin++
			}
			for j = begin; j < len(r) && class(r[j]) == class(r[begin]); {
				j++
			}
			if class(r[begin]) == 0 && j < len(r) && j-begin > 1 {
				j-- // the last blank belongs to what follows
			}
		}
		out = append(out, string(r[i:j]))
		i = j
	}
	return out
}

func (b *bpe) Encode(text string, _, parse bool) ([]int32, error) {
	var ids []int32
	for text != "" {
		at, which := len(text), -1
		for k, s := range b.special {
			if i := strings.Index(text, s); parse && i >= 0 && (i < at || i == at && len(s) > len(b.special[which])) {
				at, which = i, k
			}
		}
		for _, w := range b.words(text[:at]) {
			ids = append(ids, b.word(w)...)
		}
		text = text[at:]
		if which >= 0 {
			ids = append(ids, b.first+int32(which))
			text = text[len(b.special[which]):]
		}
	}
	return ids, nil
}

func (b *bpe) word(w string) (ids []int32) {
	var parts []string
	for _, c := range []byte(w) {
		parts = append(parts, string(b.letters[c]))
	}
	for {
		best, at := len(b.ranks), -1
		for i := range len(parts) - 1 {
			if rank, ok := b.ranks[[2]string{parts[i], parts[i+1]}]; ok && rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			break
		}
		parts = slices.Replace(parts, at, at+2, parts[at]+parts[at+1])
	}
	for _, p := range parts {
		ids = append(ids, b.vocab[p])
	}
	return ids
}

func (b *bpe) Decode(tokens []int32, special bool) string {
	var out strings.Builder
	for _, t := range tokens {
		if t >= b.first {
			if special {
				out.WriteString(b.special[t-b.first])
			}
			continue
		}
		for piece, id := range b.vocab {
			if id == t {
				for _, r := range piece {
					out.WriteByte(byte(slices.Index(b.letters[:], r)))
				}
			}
		}
	}
	return out.String()
}

func (b *bpe) BOS() int32     { return -1 }
func (b *bpe) EOS() int32     { return -1 }
func (b *bpe) VocabSize() int { return int(b.first) + len(b.special) }
