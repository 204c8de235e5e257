package data

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"steer/ggml/lm"
)

// LossOn says which tokens of an example count.
type LossOn string

// The choices.
const (
	LossAnswers LossOn = "answers" // the assistant's tokens, and the token that ends them
	LossAll     LossOn = "all"     // every token: what trl's packed SFT does
)

// Values lists the choices.
func (LossOn) Values() []string { return []string{string(LossAnswers), string(LossAll)} }

// TokenizeOptions configure Tokenize.
type TokenizeOptions struct {
	// NoBOS leaves out the BOS that the model's tokenizer would add.
	NoBOS bool
	// EOS appends the vocabulary's EOS, which counts if the last segment does.
	EOS bool
	// Loss: answers (empty) or all.
	Loss LossOn
	// Join tokenizes neighbouring text segments as one text, as programs do that
	// see only the whole text. A token may then reach across the border of prompt
	// and answer, so the prompt is no longer sure to be a prefix of the whole, and
	// Loss has to be all.
	Join bool
}

// Tokenize turns segments into ids and a loss mask (true = counts).
//
// Each segment is tokenized by itself, so rendering a prompt alone gives a prefix
// of the prompt with its answer. The tokens are those the segment has in running
// text: SentencePiece vocabularies, which put a blank before a text that stands
// alone, do not get one in the middle.
func Tokenize(tok lm.Tokenizer, segments []Segment, opt TokenizeOptions) (Example, error) {
	if opt.Join {
		if opt.Loss != LossAll {
			return Example{}, fmt.Errorf("data: join: tokenizing a whole text at once needs loss on all tokens, got %q",
				opt.Loss)
		}
		if slices.ContainsFunc(segments, func(s Segment) bool { return s.Masked }) {
			return Example{}, fmt.Errorf("data: join: a message does not count in the loss (weight, loss_mask, " +
				"trainable or train): in a text tokenized as one no message can be left out; set join_text: false")
		}
		segments = join(segments)
	}
	var e Example
	add := func(ids []int32, counts, masked bool) {
		e.IDs = append(e.IDs, ids...)
		for range ids {
			e.Mask = append(e.Mask, (counts || opt.Loss == LossAll) && !masked && len(e.Mask) > 0)
		}
	}
	bos, err := addsBOS(tok)
	if err != nil {
		return Example{}, err
	}
	if bos && !opt.NoBOS && !WritesBOS(tok, segments) {
		add([]int32{tok.BOS()}, false, false)
	}
	previous := ""
	for i, s := range segments {
		switch {
		case s.Kind == SegmentBOS || s.Kind == SegmentEOS:
			id := tok.BOS()
			if s.Kind == SegmentEOS {
				id = tok.EOS()
			}
			if id >= 0 && !(s.Kind == SegmentBOS && opt.NoBOS) {
				add([]int32{id}, s.Answer, s.Masked)
			}
			previous = ""
		case s.Text == "":
		case s.Alone:
			text, err := stripped(tok, segments, i)
			if err != nil {
				return Example{}, fmt.Errorf("data: tokenizing %s: %w", quote(s.Text), err)
			}
			ids, err := tok.Encode(text, false, s.Special)
			if err != nil {
				return Example{}, fmt.Errorf("data: tokenizing %s: %w", quote(s.Text), err)
			}
			add(ids, s.Answer, s.Masked)
			previous = s.Text
		default:
			ids, err := encodeAfter(tok, previous, s)
			if err != nil {
				return Example{}, fmt.Errorf("data: tokenizing %s: %w", quote(s.Text), err)
			}
			add(ids, s.Answer, s.Masked)
			previous = s.Text
		}
	}
	if opt.EOS && tok.EOS() >= 0 && !(len(e.IDs) > 0 && e.IDs[len(e.IDs)-1] == tok.EOS()) {
		last := Segment{}
		if len(segments) > 0 {
			last = segments[len(segments)-1]
		}
		add([]int32{tok.EOS()}, last.Answer, last.Masked)
	}
	return e, CheckVocab(e.IDs, tok.VocabSize())
}

// stripped is the text of a segment without the blanks that special tokens beside it take away, as
// some vocabularies have it (those of Phi-3).
func stripped(tok lm.Tokenizer, segments []Segment, i int) (string, error) {
	const blanks = " \t\n\r\v\f"
	text := segments[i].Text
	if segments[i].Special {
		return text, nil
	}
	takes := func(mark, before, after string) (bool, error) {
		with, err := tok.Encode(before+mark+after, false, true)
		if err != nil {
			return false, err
		}
		var without []int32
		for _, part := range []string{strings.TrimRight(before, blanks), mark, strings.TrimLeft(after, blanks)} {
			if part == "" {
				continue
			}
			ids, err := tok.Encode(part, false, part == mark)
			if err != nil {
				return false, err
			}
			without = append(without, ids...)
		}
		return slices.Equal(with, without), nil
	}
	if i > 0 && segments[i-1].Special && strings.TrimLeft(text, blanks) != text {
		yes, err := takes(segments[i-1].Text, "", "\n x")
		if err != nil {
			return "", err
		}
		if yes {
			text = strings.TrimLeft(text, blanks)
		}
	}
	if i+1 < len(segments) && segments[i+1].Special && strings.TrimRight(text, blanks) != text {
		yes, err := takes(segments[i+1].Text, "x \n", "")
		if err != nil {
			return "", err
		}
		if yes {
			text = strings.TrimRight(text, blanks)
		}
	}
	return text, nil
}

// WritesBOS tells whether a rendering begins with the BOS token.
func WritesBOS(tok lm.Tokenizer, segments []Segment) bool {
	if len(segments) == 0 || segments[0].Kind == SegmentBOS || !segments[0].Alone || !segments[0].Special {
		return len(segments) > 0 && segments[0].Kind == SegmentBOS
	}
	ids, err := tok.Encode(segments[0].Text, false, true)
	return err == nil && len(ids) > 0 && ids[0] == tok.BOS()
}

// addsBOS asks the tokenizer whether it puts a BOS before a text.
func addsBOS(tok lm.Tokenizer) (bool, error) {
	if tok.BOS() < 0 {
		return false, nil
	}
	with, err := tok.Encode("a", true, false)
	if err != nil {
		return false, fmt.Errorf("data: tokenizing: %w", err)
	}
	return len(with) > 0 && with[0] == tok.BOS(), nil
}

// encodeAfter gives the tokens of s as they are after the text previous.
//
// A tokenizer may treat the start of a text specially. So the segment is encoded
// behind an anchor, whose own tokens are taken off again. The anchor is the last
// character before the border; where that would melt into the segment (a newline
// before a newline), others are tried, and at last the segment stands alone.
func encodeAfter(tok lm.Tokenizer, previous string, s Segment) ([]int32, error) {
	if previous != "" {
		_, n := utf8.DecodeLastRuneInString(previous)
		for _, anchor := range []string{previous[len(previous)-n:], "\n", ":", "a"} {
			head, err := tok.Encode(anchor, false, false)
			if err != nil {
				return nil, err
			}
			whole, err := tok.Encode(anchor+s.Text, false, s.Special)
			if err != nil {
				return nil, err
			}
			if len(head) > 0 && hasPrefix(whole, head) {
				return whole[len(head):], nil
			}
		}
	}
	return tok.Encode(s.Text, false, s.Special)
}

func hasPrefix(ids, prefix []int32) bool {
	if len(ids) <= len(prefix) {
		return false
	}
	for i, id := range prefix {
		if ids[i] != id {
			return false
		}
	}
	return true
}

// join merges neighbouring text segments of one Special setting.
func join(segments []Segment) []Segment {
	var out []Segment
	var run strings.Builder
	special, alone := false, false
	flush := func() {
		if run.Len() > 0 {
			out = append(out, Segment{Text: run.String(), Special: special, Answer: true, Alone: alone})
			run.Reset()
		}
	}
	for _, s := range segments {
		if s.Kind != SegmentText {
			flush()
			out = append(out, s)
			continue
		}
		if s.Special != special {
			flush()
			special = s.Special
		}
		if run.Len() == 0 {
			alone = s.Alone
		}
		run.WriteString(s.Text)
	}
	flush()
	return out
}
