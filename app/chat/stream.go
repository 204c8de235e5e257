package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"steer/ggml/lm"
	"steer/rl/data"
)

// stream hands an answer on while it is made. Together the texts that show is given are the text of
// the finished answer: what may yet turn out to be part of a character, of a stop string or of the
// blanks at its end is held back until that is known.
type stream struct {
	a      *Assistant
	show   func(text string) error
	tokens []int32
	shown  string
	err    error // of show; it is not called again
}

func (a *Assistant) stream(show func(text string) error) *stream { return &stream{a: a, show: show} }

// token takes the next token of the answer.
func (s *stream) token(id int32) {
	s.tokens = append(s.tokens, id)
	s.upTo(s.a.certain(s.tokens))
}

// end shows what was held back of the finished answer.
func (s *stream) end(text string) error {
	if !strings.HasPrefix(text, s.shown) {
		// A tokenizer that spells the beginning of a text in another way once there is more.
		text = s.shown + "\n" + text
	}
	s.upTo(text)
	return s.err
}

// upTo shows what of text was not shown yet.
func (s *stream) upTo(text string) {
	more, ok := strings.CutPrefix(text, s.shown)
	if !ok || more == "" || s.err != nil {
		return
	}
	s.err = s.show(more)
	s.shown = text
}

// certain is the part of an answer's text that no further token changes.
func (a *Assistant) certain(tokens []int32) string {
	text := a.model.Tokenizer.Decode(tokens, false)
	text = text[:len(text)-unfinished(text)]
	text = text[:len(text)-held(text, a.stopStrings)]
	if a.template.Name() == data.TemplatePlain {
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

// partial is the answer of which some tokens were made before it was stopped.
func (a *Assistant) partial(tokens []int32) string {
	text := a.Text(lm.Generation{Tokens: tokens, Finish: lm.FinishStopString})
	return strings.TrimRightFunc(text, unicode.IsSpace)
}
