package main

import (
	"fmt"
	"slices"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/workspace"
	"steer/rewards"
	"steer/rl/data"
)

// scoreSequence is a row as the model sees it.
type scoreSequence struct {
	row     scoreRow
	ids     []int32
	targets []int32 // positions whose log-probability is asked for, ascending
	partial bool    // not all of 1, 2, ..., len(ids)-1
}

// scoreEncoder turns rows into token sequences.
type scoreEncoder struct {
	f        *scoreFlags
	tok      *ggml.Tokenizer
	template *data.Template // nil: texts as they are
	stored   *data.Template // of the adapters, for conversations; nil: they do not say
	warnings []string
	reward   *rewards.Encoder // nil: not in a reward model's own form

	dropped, cut, rewardCut, outOfForm, inStored int
}

func newScoreEncoder(f *scoreFlags, tok *ggml.Tokenizer, head *adapter.Adapter,
	stack []adapter.Placed) (*scoreEncoder, error) {
	e := &scoreEncoder{f: f, tok: tok}
	if f.bos == bosOn && tok.BOS() < 0 {
		return nil, fmt.Errorf("score: --bos on: the vocabulary has no beginning-of-sequence token")
	}
	if f.template != "" {
		given := workspace.Form{Template: f.template}
		if f.systemGiven {
			given.System = &f.system
		}
		form, notes, err := workspace.ChooseForm(tok, given, stack, "")
		if err != nil {
			return nil, err
		}
		e.warnings = notes
		e.template, err = data.OpenTemplate(tok, form.Template, form.System, form.Date)
		return e, err
	}
	if f.head && !f.logprobs && !f.entropy && !f.bosGiven && head.Meta[rewards.MetaRole] == "reward" {
		var err error
		if e.reward, err = rewards.EncoderOf(head.Meta, tok); err != nil {
			return nil, err
		}
		return e, nil
	}
	if f.bosGiven { // asks for texts as they are
		return e, nil
	}
	form, _, err := workspace.ChooseForm(tok, workspace.Form{}, stack, "")
	if err == nil && form.Template != "" {
		e.stored, err = data.OpenTemplate(tok, form.Template, form.System, form.Date)
	}
	return e, err
}

// encode tokenizes rows and applies the length limit of the model.
func (e *scoreEncoder) encode(rows []scoreRow, limit int) ([]scoreSequence, error) {
	var out []scoreSequence
	for _, row := range rows {
		x, err := e.row(row)
		if err == nil {
			err = data.CheckVocab(x.IDs, e.tok.VocabSize())
		}
		if err == nil && len(x.IDs) == 0 {
			err = fmt.Errorf("the text has no token")
		}
		if err != nil {
			return nil, fmt.Errorf("score: %s: %w", row.where, err)
		}
		x, keep, err := e.fit(x, limit)
		if err != nil {
			return nil, fmt.Errorf("score: %s: %w", row.where, err)
		}
		if !keep {
			e.dropped++
			continue
		}
		s := scoreSequence{row: row, ids: x.IDs, targets: x.Targets()}
		s.partial = len(s.targets) != len(x.IDs)-1
		out = append(out, s)
	}
	return out, nil
}

// row gives the tokens of a row and which of them count.
func (e *scoreEncoder) row(row scoreRow) (data.Example, error) {
	switch {
	case row.ids != nil:
		x := data.Example{IDs: row.ids, Mask: row.mask}
		if x.Mask == nil {
			x.Mask = slices.Repeat([]bool{true}, len(x.IDs))
		}
		return x, nil
	case e.reward != nil:
		ids, err := e.rewardRow(row)
		return allCounted(ids), err
	case row.text != nil && e.template == nil:
		ids, err := e.plainText(*row.text)
		return allCounted(ids), err
	case row.text != nil:
		x, err := e.segments(e.template.Prompt([]data.Message{{Role: data.RoleUser, Content: *row.text}}))
		return allCounted(x.IDs), err // the template's words count too: nothing in a prompt is an answer
	case e.template == nil && e.stored != nil:
		e.inStored++
		return e.segments(e.stored.Render(row.conversation()))
	case e.template == nil && row.messages != nil:
		return data.Example{}, fmt.Errorf(`"messages" need a --template`)
	case e.template == nil:
		return e.segments([]data.Segment{
			{Text: *row.prompt, Special: e.f.special}, {Text: *row.response, Special: e.f.special, Answer: true}}, nil)
	default:
		return e.segments(e.template.Render(row.conversation()))
	}
}

// conversation gives the messages of a row that is one.
func (row scoreRow) conversation() []data.Message {
	if row.messages != nil {
		return row.messages
	}
	return []data.Message{{Role: data.RoleUser, Content: *row.prompt}, {Role: data.RoleAssistant, Content: *row.response}}
}

// rewardRow puts a row before a reward model as its training did.
func (e *scoreEncoder) rewardRow(row scoreRow) (ids []int32, err error) {
	chat := e.reward.Form() == rewards.FormChat
	switch {
	case row.text != nil:
		if chat {
			e.outOfForm++
		}
		ids, err = e.reward.Text(*row.text)
	case chat || row.messages != nil:
		ids, err = e.reward.Conversation(row.conversation())
	default:
		ids, err = e.reward.Text(*row.prompt + *row.response)
	}
	if cut := e.reward.Cut(ids); len(cut) < len(ids) {
		e.rewardCut++
		ids = cut
	}
	return ids, err
}

// segments tokenizes a rendered conversation.
func (e *scoreEncoder) segments(s []data.Segment, err error) (data.Example, error) {
	if err != nil {
		return data.Example{}, err
	}
	if e.f.bos == bosOn && !data.WritesBOS(e.tok, s) {
		s = slices.Insert(s, 0, data.Segment{Kind: data.SegmentBOS})
	}
	return data.Tokenize(e.tok, s, data.TokenizeOptions{NoBOS: e.f.bos == bosOff})
}

// plainText tokenizes a text as it is.
func (e *scoreEncoder) plainText(text string) ([]int32, error) {
	ids, err := e.tok.Encode(text, e.f.bos != bosOff, e.f.special)
	if bos := e.tok.BOS(); err == nil && e.f.bos == bosOn && (len(ids) == 0 || ids[0] != bos) {
		ids = slices.Insert(ids, 0, bos)
	}
	return ids, err
}

// allCounted makes an example in which every token counts.
func allCounted(ids []int32) data.Example {
	return data.Example{IDs: ids, Mask: slices.Repeat([]bool{true}, len(ids))}
}

// fit applies --overlong.
func (e *scoreEncoder) fit(x data.Example, limit int) (data.Example, bool, error) {
	n := len(x.IDs)
	if n <= limit {
		return x, true, nil
	}
	switch e.f.overlong {
	case data.OverlongDrop:
		return x, false, nil
	case data.OverlongTruncate:
		x.IDs, x.Mask = x.IDs[:limit], x.Mask[:limit]
	case data.OverlongTruncateLeft:
		x.IDs, x.Mask = x.IDs[n-limit:], x.Mask[n-limit:]
	default:
		return x, false, fmt.Errorf("%d tokens, the model's context is %d: %w: shorten it, or set --overlong to drop, truncate or truncate_left", n, limit, lm.ErrContextFull)
	}
	e.cut++
	return x, true, nil
}

// notes says aloud what was not evaluated as it came.
func (e *scoreEncoder) notes() []string {
	var out []string
	note := func(n int, format string) {
		if n > 0 {
			out = append(out, fmt.Sprintf("score: "+format, n))
		}
	}
	note(e.dropped, "%d rows longer than the context were dropped")
	note(e.cut, "%d rows longer than the context were truncated")
	note(e.rewardCut, "%d rows longer than the reward model's limit were cut from the left, as in its training")
	if e.inStored > 0 {
		note(e.inStored, "%d conversations are put in template "+string(e.stored.Name())+", the adapters' own "+
			"(--template plain: end to end)")
	}
	note(e.outOfForm, `%d rows are bare texts, but the reward model reads conversations: give "prompt" and "response"`)
	return out
}
