package main

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"steer/ggml/lm"
	"steer/rl/data"
)

// stream writes an answer while it is made. Together the pieces are the text of the finished
// answer: what may yet turn out to be part of a character, of a stop string or of the
// blanks at its end is held back until that is known.
type stream struct {
	s      *speaker
	w      io.Writer
	tokens []int32
	shown  string
	err    error // of writing; the rest is dropped
}

// token takes the next token of the answer.
func (t *stream) token(id int32) {
	t.tokens = append(t.tokens, id)
	t.show(t.s.certain(t.tokens))
}

// end writes what was held back of the finished answer, and a line end after it.
func (t *stream) end(text string) error {
	if !strings.HasPrefix(text, t.shown) {
		// A tokenizer that spells the beginning of a text in another way once there is more.
		text = t.shown + "\n" + text
	}
	t.show(text + "\n")
	return t.err
}

// show writes what of text was not written yet.
func (t *stream) show(text string) {
	more, ok := strings.CutPrefix(text, t.shown)
	if !ok || more == "" || t.err != nil {
		return
	}
	_, t.err = io.WriteString(t.w, more)
	t.shown = text
}

// certain is the part of an answer's text that no further token changes.
func (s *speaker) certain(tokens []int32) string {
	text := s.tok.Decode(tokens, false)
	text = text[:len(text)-unfinished(text)]
	text = text[:len(text)-held(text, s.stopStrings)]
	if s.template.Name() == data.TemplatePlain {
		text = strings.TrimRight(text, "\n")
	} else {
		text = strings.TrimSpace(text)
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// unfinished is the number of bytes at the end of a text that begin a character.
func unfinished(text string) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}

// held is the number of bytes from where a stop string begins, or may begin, to the end.
func held(text string, stops []string) (n int) {
	for _, stop := range stops {
		if i := strings.Index(text, stop); i >= 0 {
			n = max(n, len(text)-i)
			continue
		}
		for k := min(len(stop)-1, len(text)); k > n; k-- {
			if strings.HasSuffix(text, stop[:k]) {
				n = k
				break
			}
		}
	}
	return n
}

// broken is the answer of which some tokens were made before it was stopped.
func (s *speaker) broken(tokens []int32) string {
	text := s.text(lm.Generation{Tokens: tokens, Finish: lm.FinishStopString})
	return strings.TrimRightFunc(text, unicode.IsSpace)
}
