package query

import (
	"fmt"
	"strings"

	"steer/eval"
	"steer/ggml/lm"
	"steer/internal/pystr"
)

// Encoder turns texts into tokens as lm-evaluation-harness does for causal models.
type Encoder struct {
	tok    lm.Tokenizer
	bos    bool
	Prefix int32 // stands for an empty context: BOS, else EOS, else -1
}

// NewEncoder fixes the BOS rule for a tokenizer.
func NewEncoder(tok lm.Tokenizer, mode eval.BOSMode) (*Encoder, error) {
	if err := mode.Validate(); err != nil {
		return nil, err
	}
	e := &Encoder{tok: tok, Prefix: tok.BOS()}
	if e.Prefix < 0 {
		e.Prefix = tok.EOS()
	}
	switch mode {
	case eval.BOSOn:
		if tok.BOS() < 0 {
			return nil, fmt.Errorf("eval: bos: on, but the vocabulary has no BOS token; set bos: off or auto")
		}
		e.bos = true
	case eval.BOSAuto:
		ids, err := tok.Encode("a", true, true)
		if err != nil {
			return nil, fmt.Errorf("eval: asking the tokenizer for its BOS rule: %w", err)
		}
		e.bos = tok.BOS() >= 0 && len(ids) > 0 && ids[0] == tok.BOS()
	}
	return e, nil
}

// BOS reports whether texts begin with BOS.
func (e *Encoder) BOS() bool { return e.bos }

// Text encodes a whole text. Special tokens in it are read as such; BOS is put
// first if the rule says so and the text does not spell it itself. EOS is never
// added.
func (e *Encoder) Text(text string) ([]int32, error) {
	ids, err := e.tok.Encode(text, false, true)
	if err != nil {
		return nil, err
	}
	if e.bos && (len(ids) == 0 || ids[0] != e.tok.BOS()) {
		ids = append([]int32{e.tok.BOS()}, ids...)
	}
	return ids, nil
}

// Pair encodes a context and its continuation: trailing white space of the context
// moves to the continuation, the joined text and the context are encoded, and the
// continuation is what the joined text has beyond the context's number of tokens.
// An empty context becomes the prefix token (BOS, or EOS where there is none)
// unless the text begins with BOS anyway.
func (e *Encoder) Pair(context, continuation string) (ctx, cont []int32, err error) {
	trimmed := strings.TrimRightFunc(context, pystr.IsSpace)
	continuation = context[len(trimmed):] + continuation
	whole, err := e.Text(trimmed + continuation)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding context and continuation: %w", err)
	}
	if trimmed == "" {
		switch {
		case len(whole) > 1 && whole[0] == e.Prefix:
			ctx, cont = whole[:1], whole[1:]
		case e.Prefix < 0:
			return nil, nil, fmt.Errorf("empty context, and the vocabulary has neither BOS nor EOS to stand for it")
		default:
			ctx, cont = []int32{e.Prefix}, whole
		}
	} else {
		if ctx, err = e.Text(trimmed); err != nil {
			return nil, nil, fmt.Errorf("encoding the context: %w", err)
		}
		cont = whole[min(len(ctx), len(whole)):]
	}
	if len(cont) == 0 {
		return nil, nil, fmt.Errorf("continuation %q has no token of its own after the context", continuation)
	}
	return ctx, cont, nil
}
