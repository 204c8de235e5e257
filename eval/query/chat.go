package query

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/pystr"
	"steer/rl/data"
)

// Prompt encodes a rendered conversation. The template's special tokens are read as such, and
// those that the text of a row spells are not; BOS is put first if the rule says so and the
// template does not write it itself.
func (e *Encoder) Prompt(segments []data.Segment) ([]int32, error) {
	x, err := data.Tokenize(e.tok, segments, data.TokenizeOptions{NoBOS: true})
	if err != nil {
		return nil, err
	}
	if e.bos && (len(x.IDs) == 0 || x.IDs[0] != e.tok.BOS()) {
		return append([]int32{e.tok.BOS()}, x.IDs...), nil
	}
	return x.IDs, nil
}

// PromptPair is Pair after a rendered conversation: white space at its end moves to the
// continuation, which is what the whole has beyond the context's number of tokens.
func (e *Encoder) PromptPair(segments []data.Segment, continuation string) (ctx, cont []int32, err error) {
	context, moved := trimSegments(segments)
	continuation = moved + continuation
	if ctx, err = e.Prompt(context); err != nil {
		return nil, nil, fmt.Errorf("encoding the context: %w", err)
	}
	if len(ctx) == 0 {
		return nil, nil, fmt.Errorf("the template renders an empty context")
	}
	whole, err := e.Prompt(extend(context, continuation))
	if err != nil {
		return nil, nil, fmt.Errorf("encoding context and continuation: %w", err)
	}
	if cont = whole[min(len(ctx), len(whole)):]; len(cont) == 0 {
		return nil, nil, fmt.Errorf("continuation %q has no token of its own after the context", continuation)
	}
	return ctx, cont, nil
}

// trimSegments takes the white space from the end of a rendering, and gives it.
func trimSegments(segments []data.Segment) (trimmed []data.Segment, moved string) {
	trimmed = slices.Clone(segments)
	for len(trimmed) > 0 {
		last := &trimmed[len(trimmed)-1]
		if last.Kind != data.SegmentText {
			break
		}
		text := strings.TrimRightFunc(last.Text, pystr.IsSpace)
		moved = last.Text[len(text):] + moved
		if last.Text = text; text != "" {
			break
		}
		trimmed = trimmed[:len(trimmed)-1]
	}
	return trimmed, moved
}

// extend puts a text behind a rendering: as running text behind text, and by itself behind a
// special token.
func extend(segments []data.Segment, text string) []data.Segment {
	out := slices.Clone(segments)
	if n := len(out); n > 0 && out[n-1].Kind == data.SegmentText {
		if last := &out[n-1]; !last.Special {
			last.Text += text
			return out
		}
		return append(out, data.Segment{Text: text, Alone: out[n-1].Alone})
	}
	return append(out, data.Segment{Text: text})
}

// Rolling lays out all tokens of a text in windows of at most maxLength, each token predicted
// once: the first window from the prefix token, later ones from as much as fits, as the
// harness's rolling log-likelihood has it. A text without tokens has no windows.
func (e *Encoder) Rolling(text string, maxLength, group int) ([]Request, error) {
	ids, err := e.Text(text)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if e.Prefix < 0 {
		return nil, fmt.Errorf("the vocabulary has neither BOS nor EOS for the first token to be predicted from")
	}
	first := min(maxLength, len(ids))
	out := []Request{{Context: []int32{e.Prefix}, Continuation: ids[:first], Group: group}}
	for done := first; done < len(ids); {
		end := min(len(ids), done+maxLength)
		out = append(out, Request{Context: ids[end-maxLength-1 : done], Continuation: ids[done:end], Group: group})
		done = end
	}
	return out, nil
}
