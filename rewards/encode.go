package rewards

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/data"
	"steer/rl/run"
)

// Encoder turns texts into the token sequences a reward model scores, in the form of
// its configuration. Training, evaluation and scoring all go through it.
type Encoder struct {
	tok       lm.Tokenizer
	form      Form
	template  *data.Template
	eos       bool
	maxLength int
	overlong  data.Overlong
}

// NewEncoder gives the encoder of a configuration.
func NewEncoder(cfg Config, tok lm.Tokenizer) (*Encoder, error) {
	if tok == nil {
		return nil, fmt.Errorf("rewards: no tokenizer")
	}
	tpl, err := openTemplate(cfg, tok)
	if err != nil {
		return nil, fmt.Errorf("rewards: %w", err)
	}
	return &Encoder{tok: tok, form: cfg.Form, template: tpl, eos: cfg.EOS, maxLength: cfg.MaxLength,
		overlong: cfg.Overlong}, nil
}

// openTemplate gives the template of a configuration; where Own has the text of a model's template, that
// is rendered.
func openTemplate(cfg Config, tok lm.Tokenizer) (*data.Template, error) {
	text := cfg.Own[adapter.MetaTemplateText]
	knows, ok := tok.(lm.Chatter)
	if cfg.Template != data.TemplateModel || text == "" || !ok {
		return data.OpenTemplate(tok, cmp.Or(cfg.Template, data.TemplateChatML), cfg.System, cfg.Date, cfg.TemplateVars)
	}
	today, err := cfg.Date.Time()
	if err != nil {
		return nil, err
	}
	chat := knows.Chat()
	chat.Template = text
	t, err := data.NewOwnTemplate(chat, cfg.System, today)
	if err != nil {
		return nil, err
	}
	return t.WithVars(cfg.TemplateVars)
}

// EncoderOf gives the encoder that the metadata of a reward adapter ask for, so that
// texts are scored in the form they were learned in. Longer texts are cut from the left.
func EncoderOf(meta map[string]string, tok lm.Tokenizer) (*Encoder, error) {
	if meta[MetaRole] != "reward" {
		return nil, fmt.Errorf("rewards: %s is %q, want \"reward\": the adapter was not made by steer reward, so the "+
			"form of its texts is not known", MetaRole, meta[MetaRole])
	}
	cfg := Config{Form: Form(meta[MetaForm]), Template: data.TemplateName(meta[MetaTemplate]),
		Overlong: data.OverlongTruncateLeft, Date: data.Date(meta[adapter.MetaDate]), Own: meta}
	if !slices.Contains(cfg.Form.Values(), string(cfg.Form)) {
		return nil, fmt.Errorf("rewards: %s: want one of %v, got %q", MetaForm, cfg.Form.Values(), cfg.Form)
	}
	if cfg.Form == FormPlain {
		cfg.Template = data.TemplatePlain
	}
	if system, given := meta[MetaSystem]; given {
		cfg.System = &system
	}
	var err error
	if cfg.TemplateVars, err = data.ParseTemplateVars(meta[adapter.MetaTemplateVars]); err != nil {
		return nil, fmt.Errorf("rewards: %s: %w", adapter.MetaTemplateVars, err)
	}
	if cfg.EOS, err = strconv.ParseBool(meta[MetaEOS]); err != nil {
		return nil, fmt.Errorf("rewards: %s: want true or false, got %q", MetaEOS, meta[MetaEOS])
	}
	if cfg.MaxLength, err = strconv.Atoi(meta[MetaMaxLength]); err != nil || cfg.MaxLength < 2 {
		return nil, fmt.Errorf("rewards: %s: want a number of tokens, got %q", MetaMaxLength, meta[MetaMaxLength])
	}
	return NewEncoder(cfg, tok)
}

// Form is how the encoder puts texts before the model.
func (e *Encoder) Form() Form { return e.form }

// Template is the chat form's.
func (e *Encoder) Template() *data.Template { return e.template }

// EncodedPair is a pair as the model sees it.
type EncodedPair struct {
	// A side that is missing is nil: its score is 0 by definition.
	Chosen, Rejected []int32
	Margin           float64
	// Index is the pair's place in the list it was encoded from.
	Index int
}

// Tokens is the number of tokens of both sides.
func (p EncodedPair) Tokens() int { return len(p.Chosen) + len(p.Rejected) }

// Pairs encodes all pairs and applies the length limit.
func (e *Encoder) Pairs(pairs []data.Pair) ([]EncodedPair, run.PairCounts, error) {
	counts := run.PairCounts{In: len(pairs)}
	out := make([]EncodedPair, 0, len(pairs))
	for i, p := range pairs {
		chosen, rejected, err := e.sides(p)
		if data.Refused(err) && (i < len(pairs)-1 || counts.Refused < i) { // not all of them
			counts.Refused++
			continue
		}
		if err != nil {
			return nil, counts, fmt.Errorf("rewards: %s: line %d: %w", p.Source, p.Line, err)
		}
		longest := max(len(chosen), len(rejected))
		counts.Longest = max(counts.Longest, longest)
		if longest > e.maxLength {
			switch e.overlong {
			case data.OverlongError:
				return nil, counts, fmt.Errorf("rewards: %s: line %d: a side has %d tokens, max_length is %d: %w; "+
					"set overlong to drop or truncate_left",
					p.Source, p.Line, longest, e.maxLength, data.ErrOverlong)
			case data.OverlongDrop:
				counts.Dropped++
				continue
			}
		}
		if p.Missing == data.SideNone && slices.Equal(chosen, rejected) {
			counts.Identical++
			continue
		}
		if longest > e.maxLength {
			if chosen, rejected = e.Cut(chosen), e.Cut(rejected); p.Missing == data.SideNone &&
				slices.Equal(chosen, rejected) {
				counts.CutEqual++
				continue
			}
			counts.Truncated++
		}
		counts.Kept++
		counts.Tokens += int64(len(chosen) + len(rejected))
		out = append(out, EncodedPair{Chosen: chosen, Rejected: rejected, Margin: p.Margin, Index: i})
	}
	return out, counts, nil
}

func (e *Encoder) sides(p data.Pair) (chosen, rejected []int32, err error) {
	if p.ChosenIDs != nil {
		for _, ids := range [][]int32{p.ChosenIDs, p.RejectedIDs} {
			if err := data.CheckVocab(ids, e.tok.VocabSize()); err != nil {
				return nil, nil, err
			}
		}
		return p.ChosenIDs, p.RejectedIDs, nil
	}
	if p.Missing != data.SideNone {
		return e.single(p)
	}
	if e.form == FormPlain {
		if chosen, err = e.Text(p.Prompt + p.Chosen); err == nil {
			rejected, err = e.Text(p.Prompt + p.Rejected)
		}
		return chosen, rejected, err
	}
	c, r := p.Turns()
	if chosen, err = e.Conversation(c); err == nil {
		rejected, err = e.Conversation(r)
	}
	return chosen, rejected, err
}

// single encodes the one side that there is.
func (e *Encoder) single(p data.Pair) (chosen, rejected []int32, err error) {
	text, turns, side := p.Prompt+p.Chosen, p.ChosenTurns, &chosen
	if p.Missing == data.SideChosen {
		text, turns, side = p.Prompt+p.Rejected, p.RejectedTurns, &rejected
	}
	if e.form == FormPlain {
		*side, err = e.Text(text)
	} else {
		*side, err = e.Conversation(turns)
	}
	return chosen, rejected, err
}

// Text encodes a text by itself, as the plain form does.
func (e *Encoder) Text(text string) ([]int32, error) {
	x, err := data.Tokenize(e.tok, []data.Segment{{Text: text, Answer: true}}, data.TokenizeOptions{EOS: e.eos})
	if err == nil && len(x.IDs) == 0 {
		err = fmt.Errorf("the text has no token")
	}
	return x.IDs, err
}

// Conversation encodes messages that end with an assistant's, as the chat form does,
// up to the last token of the answer: its end token, where the form has one. That is
// where the response of a policy that stopped by itself ends too.
func (e *Encoder) Conversation(messages []data.Message) ([]int32, error) {
	opt := data.TokenizeOptions{EOS: e.eos && e.template.StopToken() == ""}
	segments, err := e.template.Render(messages)
	if err != nil {
		return nil, err
	}
	x, err := data.Tokenize(e.tok, segments, opt)
	if err != nil {
		return nil, err
	}
	end := len(x.IDs)
	for end > 0 && !x.Mask[end-1] {
		end--
	}
	if end == 0 {
		return nil, fmt.Errorf("the conversation has no answer")
	}
	return x.IDs[:end], nil
}

// Cut shortens a sequence to max_length from the left, but keeps a BOS at its start.
func (e *Encoder) Cut(ids []int32) []int32 {
	over := len(ids) - e.maxLength
	if over <= 0 {
		return ids
	}
	if bos := e.tok.BOS(); bos >= 0 && ids[0] == bos {
		return append([]int32{bos}, ids[over+1:]...)
	}
	return ids[over:]
}
