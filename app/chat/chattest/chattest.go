package chattest

import (
	"context"

	"steer/app/chat"
	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/data"
)

// Bytes is a tokenizer with a token for each byte, the finest pieces that an answer can come in.
type Bytes struct{}

// Encode implements lm.Tokenizer.
func (Bytes) Encode(text string, _, _ bool) ([]int32, error) {
	ids := make([]int32, len(text))
	for i := range ids {
		ids[i] = int32(text[i])
	}
	return ids, nil
}

// Decode implements lm.Tokenizer.
func (Bytes) Decode(tokens []int32, _ bool) string {
	b := make([]byte, len(tokens))
	for i, id := range tokens {
		b[i] = byte(id)
	}
	return string(b)
}

// BOS implements lm.Tokenizer.
func (Bytes) BOS() int32 { return -1 }

// EOS implements lm.Tokenizer.
func (Bytes) EOS() int32 { return -1 }

// VocabSize implements lm.Tokenizer.
func (Bytes) VocabSize() int { return 256 }

// Scripted answers with given texts in turn, and waits in the middle of one that is to be stopped.
type Scripted struct {
	Answers []string
	Asked   []string // the prompts so far
	// Finish is why answers end; "" is lm.FinishStopToken.
	Finish lm.FinishReason
	// OnWait is called where an answer has a "|", which then waits for its end.
	OnWait func()
}

// Generate implements lm.Generator for a single request.
func (s *Scripted) Generate(ctx context.Context, reqs []lm.Request, _ lm.Sampling) ([]lm.Generation, error) {
	text := s.Answers[len(s.Asked)%len(s.Answers)]
	s.Asked = append(s.Asked, Bytes{}.Decode(reqs[0].Prompt, true))
	g := lm.Generation{Finish: lm.FinishStopToken}
	if s.Finish != "" {
		g.Finish = s.Finish
	}
	for i := range len(text) {
		if text[i] == '|' {
			s.OnWait()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		g.Tokens = append(g.Tokens, int32(text[i]))
		if reqs[0].OnToken != nil {
			reqs[0].OnToken(int32(text[i]))
		}
	}
	return []lm.Generation{g}, nil
}

// Model is a model that speaks in bytes.
func Model(g lm.Generator, context int, stack ...adapter.Placed) chat.Model {
	return chat.Model{
		Tokenizer: Bytes{}, Generator: g, Context: context, Stack: stack, AtOnce: 1,
		Template: func(f workspace.Form) (*data.Template, []int32, error) {
			t, err := data.NewTemplate(f.Template, f.System)
			return t, nil, err
		},
	}
}
