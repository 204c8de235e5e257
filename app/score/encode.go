package score

import (
	"errors"
	"fmt"
	"slices"

	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rewards"
	"steer/rl/data"
)

// Errors that a caller may add to: they name what was asked for.
var (
	// ErrNoBOS: BOSOn, and the vocabulary has no such token.
	ErrNoBOS = errors.New("the vocabulary has no beginning-of-sequence token")
	// ErrNoTemplate: messages are to be scored, and nothing says in which template.
	ErrNoTemplate = errors.New(`"messages" need a template`)
)

// RowError is an error about one row.
type RowError struct {
	Where string // Row.Where
	Err   error
}

// Error implements error.
func (e *RowError) Error() string { return fmt.Sprintf("score: %s: %v", e.Where, e.Err) }

// Unwrap gives what is wrong with the row.
func (e *RowError) Unwrap() error { return e.Err }

// Sequence is a row as the model sees it.
type Sequence struct {
	row     Row
	ids     []int32
	targets []int32 // positions whose log-probability is asked for, ascending
	partial bool    // not all of 1, 2, ..., len(ids)-1
}

// Changes count the rows that were not evaluated as they came.
type Changes struct {
	// Dropped and Truncated rows were longer than the model's context.
	Dropped, Truncated int
	// RewardTruncated rows were longer than the reward model's limit, and cut from the left as in its
	// training.
	RewardTruncated int
	// Templated conversations were put in Template, which the adapters were trained with.
	Templated int
	Template  data.TemplateName
	// BareTexts went to a reward model that reads conversations.
	BareTexts int
}

// encoder turns rows into token sequences.
type encoder struct {
	opt      Options
	tok      lm.Tokenizer
	template *data.Template   // nil: texts as they are
	stored   *data.Template   // of the adapters, for conversations; nil: they do not say
	reward   *rewards.Encoder // nil: not in a reward model's own form
	changes  Changes
}

// newEncoder chooses the form of texts: the template that is given, else that of the reward model
// whose head alone is asked for, else, for conversations, that of the adapters. warnings tell where an
// adapter was trained in another form.
func newEncoder(opt Options, tok lm.Tokenizer, head *adapter.Adapter, stack []adapter.Placed) (
	e *encoder, warnings []string, err error) {
	e = &encoder{opt: opt, tok: tok}
	if opt.BOS == BOSOn && tok.BOS() < 0 {
		return nil, nil, ErrNoBOS
	}
	if opt.Template != "" {
		given := workspace.Form{Template: opt.Template, System: opt.System}
		form, warnings, err := workspace.ChooseForm(tok, given, stack, "")
		if err != nil {
			return nil, nil, err
		}
		e.template, err = data.OpenTemplate(tok, form.Template, form.System, form.Date, form.Vars)
		return e, warnings, err
	}
	if opt.Head && !opt.Logprobs && !opt.Entropy && opt.BOS == "" && head.Meta[rewards.MetaRole] == "reward" {
		e.reward, err = rewards.EncoderOf(head.Meta, tok)
		return e, nil, err
	}
	if opt.BOS != "" { // asks for texts as they are
		return e, nil, nil
	}
	form, _, err := workspace.ChooseForm(tok, workspace.Form{}, stack, "")
	if err == nil && form.Template != "" {
		e.stored, err = data.OpenTemplate(tok, form.Template, form.System, form.Date, form.Vars)
	}
	return e, nil, err
}

// encode tokenizes rows and applies the length limit of the model.
func (e *encoder) encode(rows []Row, limit int) ([]Sequence, Changes, error) {
	e.changes = Changes{}
	if e.stored != nil {
		e.changes.Template = e.stored.Name()
	}
	var out []Sequence
	for _, row := range rows {
		x, err := e.row(row)
		if err == nil {
			err = data.CheckVocab(x.IDs, e.tok.VocabSize())
		}
		if err == nil && len(x.IDs) == 0 {
			err = errors.New("the text has no token")
		}
		if err != nil {
			return nil, e.changes, &RowError{row.Where, err}
		}
		x, keep, err := e.fit(x, limit)
		if err != nil {
			return nil, e.changes, &RowError{row.Where, err}
		}
		if !keep {
			e.changes.Dropped++
			continue
		}
		s := Sequence{row: row, ids: x.IDs, targets: x.Targets()}
		s.partial = len(s.targets) != len(x.IDs)-1
		out = append(out, s)
	}
	return out, e.changes, nil
}

// row gives the tokens of a row and which of them count.
func (e *encoder) row(row Row) (data.Example, error) {
	switch {
	case row.IDs != nil:
		x := data.Example{IDs: row.IDs, Mask: row.Mask}
		if x.Mask == nil {
			x.Mask = slices.Repeat([]bool{true}, len(x.IDs))
		}
		return x, nil
	case row.Text == nil && row.Messages == nil && (row.Prompt == nil || row.Response == nil):
		return data.Example{}, errors.New("want a text, token ids, a prompt and its response, or messages")
	case e.reward != nil:
		ids, err := e.rewardRow(row)
		return allCounted(ids), err
	case row.Text != nil && e.template == nil:
		ids, err := e.plainText(*row.Text)
		return allCounted(ids), err
	case row.Text != nil:
		x, err := e.segments(e.template.Prompt([]data.Message{{Role: data.RoleUser, Content: *row.Text}}))
		return allCounted(x.IDs), err // the template's words count too: nothing in a prompt is an answer
	case e.template == nil && e.stored != nil:
		e.changes.Templated++
		return e.segments(e.stored.Render(row.conversation()))
	case e.template == nil && row.Messages != nil:
		return data.Example{}, ErrNoTemplate
	case e.template == nil:
		return e.segments([]data.Segment{
			{Text: *row.Prompt, Special: e.opt.Special}, {Text: *row.Response, Special: e.opt.Special,
				Answer: true}}, nil)
	default:
		return e.segments(e.template.Render(row.conversation()))
	}
}

// conversation gives the messages of a row that is one.
func (row Row) conversation() []data.Message {
	if row.Messages != nil {
		return row.Messages
	}
	return []data.Message{
		{Role: data.RoleUser, Content: *row.Prompt}, {Role: data.RoleAssistant, Content: *row.Response},
	}
}

// rewardRow puts a row before a reward model as its training did.
func (e *encoder) rewardRow(row Row) (ids []int32, err error) {
	chat := e.reward.Form() == rewards.FormChat
	switch {
	case row.Text != nil:
		if chat {
			e.changes.BareTexts++
		}
		ids, err = e.reward.Text(*row.Text)
	case chat || row.Messages != nil:
		ids, err = e.reward.Conversation(row.conversation())
	default:
		ids, err = e.reward.Text(*row.Prompt + *row.Response)
	}
	if cut := e.reward.Cut(ids); len(cut) < len(ids) {
		e.changes.RewardTruncated++
		ids = cut
	}
	return ids, err
}

// segments tokenizes a rendered conversation.
func (e *encoder) segments(s []data.Segment, err error) (data.Example, error) {
	if err != nil {
		return data.Example{}, err
	}
	if e.opt.BOS == BOSOn && !data.WritesBOS(e.tok, s) {
		s = slices.Insert(s, 0, data.Segment{Kind: data.SegmentBOS})
	}
	return data.Tokenize(e.tok, s, data.TokenizeOptions{NoBOS: e.opt.BOS == BOSOff})
}

// plainText tokenizes a text as it is.
func (e *encoder) plainText(text string) ([]int32, error) {
	ids, err := e.tok.Encode(text, e.opt.BOS != BOSOff, e.opt.Special)
	if bos := e.tok.BOS(); err == nil && e.opt.BOS == BOSOn && (len(ids) == 0 || ids[0] != bos) {
		ids = slices.Insert(ids, 0, bos)
	}
	return ids, err
}

// allCounted makes an example in which every token counts.
func allCounted(ids []int32) data.Example {
	return data.Example{IDs: ids, Mask: slices.Repeat([]bool{true}, len(ids))}
}

// fit applies the limit of the model; keep is false for a row that is dropped.
func (e *encoder) fit(x data.Example, limit int) (fitted data.Example, keep bool, err error) {
	n := len(x.IDs)
	if n <= limit {
		return x, true, nil
	}
	switch e.opt.Overlong {
	case data.OverlongDrop:
		return x, false, nil
	case data.OverlongTruncate:
		x.IDs, x.Mask = x.IDs[:limit], x.Mask[:limit]
	case data.OverlongTruncateLeft:
		x.IDs, x.Mask = x.IDs[n-limit:], x.Mask[n-limit:]
	default:
		return x, false, fmt.Errorf("%d tokens, the model's context is %d: %w: shorten it", n, limit,
			lm.ErrContextFull)
	}
	e.changes.Truncated++
	return x, true, nil
}
