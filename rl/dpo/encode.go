package dpo

import (
	"fmt"
	"slices"

	"steer/ggml/lm"
	"steer/rl/data"
	"steer/rl/run"
)

// Row is a prompt with an answer, as tokens.
type Row struct {
	Tokens []int32
	// Targets are the positions of the answer's tokens: of the last assistant turn, its end included.
	Targets []int32
	// shared is how many tokens of the answer count whole, whatever ld_alpha is.
	shared int
	// ref is what the reference policy says.
	ref sums
}

// sums are Σ log p over the tokens of an answer, in nats.
type sums struct {
	Shared float64 `json:"shared"` // over those that count whole
	Rest   float64 `json:"rest"`   // over the others
}

// total is the log-probability of the answer, where the others count alpha times.
func (s sums) total(alpha float64) float64 { return s.Shared + alpha*s.Rest }

// sum splits the log-probabilities of the row's targets.
func (r *Row) sum(logprobs []float32) (s sums) {
	for i, lp := range logprobs {
		if i < r.shared {
			s.Shared += float64(lp)
		} else {
			s.Rest += float64(lp)
		}
	}
	return s
}

// sequence asks for the answer's log-probabilities.
func (r *Row) sequence() lm.Sequence { return lm.Sequence{Tokens: r.Tokens, Targets: r.Targets} }

// prompt is what comes before the answer.
func (r *Row) prompt() []int32 { return r.Tokens[:r.Targets[0]] }

// Item is what is learned from as one: a pair, or one answer that is called good (Chosen) or bad (Rejected).
type Item struct {
	Chosen, Rejected *Row // nil: there is none
	// Index is the place in the list it was encoded from.
	Index int
}

// rows are the sides that there are, chosen first.
func (it Item) rows() []*Row {
	return slices.DeleteFunc([]*Row{it.Chosen, it.Rejected}, func(r *Row) bool { return r == nil })
}

// Encoder turns preferences into tokens.
type Encoder struct {
	tok       lm.Tokenizer
	template  *data.Template
	maxLength int
	overlong  data.Overlong
}

// NewEncoder puts conversations in a template, at the lengths of a configuration.
func NewEncoder(c Config, tpl *data.Template, tok lm.Tokenizer) *Encoder {
	return &Encoder{tok: tok, template: tpl, maxLength: c.MaxLength, overlong: c.Overlong}
}

// Items encodes pairs and applies the length limit. Pairs of equal sides teach nothing and are left out.
func (e *Encoder) Items(pairs []data.Pair) ([]Item, run.PairCounts, error) {
	counts := run.PairCounts{In: len(pairs)}
	out := make([]Item, 0, len(pairs))
	for i, p := range pairs {
		it, err := e.sides(p)
		if data.Refused(err) && (i < len(pairs)-1 || counts.Refused < i) { // not all of them
			counts.Refused++
			continue
		}
		if err != nil {
			return nil, counts, fmt.Errorf("dpo: %s: line %d: %w", p.Source, p.Line, err)
		}
		it.Index = i
		two := it.Chosen != nil && it.Rejected != nil && !slices.Equal(it.Chosen.prompt(), it.Rejected.prompt())
		kept, err := e.fit(&it, &counts)
		if err != nil {
			return nil, counts, fmt.Errorf("dpo: %s: line %d: %w", p.Source, p.Line, err)
		}
		if !kept {
			continue
		}
		counts.Kept++
		if two {
			counts.Prompts++
		}
		for _, r := range it.rows() {
			counts.Tokens += int64(len(r.Tokens))
		}
		out = append(out, it)
	}
	return out, counts, nil
}

// fit counts an item and cuts it to the limit; false leaves it out.
func (e *Encoder) fit(it *Item, counts *run.PairCounts) (bool, error) {
	longest := 0
	for _, r := range it.rows() {
		longest = max(longest, len(r.Tokens))
	}
	counts.Longest = max(counts.Longest, longest)
	equal := func() bool {
		return it.Chosen != nil && it.Rejected != nil && slices.Equal(it.Chosen.Tokens, it.Rejected.Tokens)
	}
	if equal() {
		counts.Identical++
		return false, nil
	}
	if longest <= e.maxLength {
		return true, nil
	}
	switch e.overlong {
	case data.OverlongError:
		return false, fmt.Errorf("a side has %d tokens, max_length is %d: %w; set overlong to drop, truncate or "+
			"truncate_left", longest, e.maxLength, data.ErrOverlong)
	case data.OverlongDrop:
		counts.Dropped++
		return false, nil
	}
	for _, r := range it.rows() {
		if e.cut(r); len(r.Targets) == 0 {
			counts.NoAnswer++
			return false, nil
		}
	}
	if equal() {
		counts.CutEqual++
		return false, nil
	}
	counts.Truncated++
	return true, nil
}

// cut shortens a row to the limit: from the end, or from the left, where a BOS stays at the start.
func (e *Encoder) cut(r *Row) {
	over := len(r.Tokens) - e.maxLength
	if over <= 0 {
		return
	}
	first := int32(0)
	if e.overlong == data.OverlongTruncate {
		r.Tokens = r.Tokens[:e.maxLength:e.maxLength]
	} else {
		r.Tokens, first = e.cutLeft(r.Tokens, over), int32(over)
	}
	var targets []int32
	for _, t := range r.Targets {
		if t -= first; t >= 1 && int(t) < len(r.Tokens) {
			targets = append(targets, t)
		}
	}
	// Behind a BOS that was kept the first token is not the one that followed it.
	r.Targets, r.shared = targets, len(targets)
}

func (e *Encoder) cutLeft(ids []int32, over int) []int32 {
	if bos := e.tok.BOS(); bos >= 0 && ids[0] == bos {
		return append([]int32{bos}, ids[over+1:]...)
	}
	return ids[over:]
}

// sides encodes the sides that a pair has.
func (e *Encoder) sides(p data.Pair) (it Item, err error) {
	if p.ChosenIDs != nil {
		return e.tokens(p)
	}
	chosen, rejected := p.Turns()
	if p.Missing != data.SideChosen {
		if it.Chosen, err = e.Conversation(chosen); err != nil {
			return it, err
		}
	}
	if p.Missing != data.SideRejected {
		it.Rejected, err = e.Conversation(rejected)
	}
	return it, err
}

// tokens takes a pre-tokenised pair: the prompt is what both sides begin with.
func (e *Encoder) tokens(p data.Pair) (it Item, err error) {
	shared := 0
	for shared < min(len(p.ChosenIDs), len(p.RejectedIDs))-1 && p.ChosenIDs[shared] == p.RejectedIDs[shared] {
		shared++
	}
	for _, side := range []struct {
		ids  []int32
		into **Row
	}{{p.ChosenIDs, &it.Chosen}, {p.RejectedIDs, &it.Rejected}} {
		if err := data.CheckVocab(side.ids, e.tok.VocabSize()); err != nil {
			return it, err
		}
		r := &Row{Tokens: side.ids}
		for i := max(shared, 1); i < len(side.ids); i++ {
			r.Targets = append(r.Targets, int32(i))
		}
		if len(r.Targets) == 0 {
			return it, fmt.Errorf("a side has %d tokens: want at least one of a prompt and one of an answer",
				len(side.ids))
		}
		r.shared, *side.into = len(r.Targets), r
	}
	return it, nil
}

// Conversation encodes messages up to the end of the last answer, which alone counts.
func (e *Encoder) Conversation(messages []data.Message) (*Row, error) {
	counted := slices.Clone(messages)
	for i := range len(counted) - 1 {
		counted[i].Masked = true
	}
	segments, err := e.template.Render(counted)
	if err != nil {
		return nil, err
	}
	x, err := data.Tokenize(e.tok, segments, data.TokenizeOptions{EOS: e.template.StopToken() == ""})
	if err != nil {
		return nil, err
	}
	r := &Row{}
	for i, counts := range x.Mask {
		if counts {
			r.Targets = append(r.Targets, int32(i))
		}
	}
	if len(r.Targets) == 0 {
		return nil, fmt.Errorf("the conversation has no answer: want one that ends with the assistant's message")
	}
	r.Tokens, r.shared = x.IDs[:r.Targets[len(r.Targets)-1]+1], len(r.Targets)
	return r, nil
}

// share says of both answers of a pair how many tokens count whole: as many as the shorter one has.
func (it Item) share() {
	if it.Chosen == nil || it.Rejected == nil {
		return
	}
	n := min(len(it.Chosen.Targets), len(it.Rejected.Targets))
	it.Chosen.shared, it.Rejected.shared = n, n
}

// apart makes every answer an item of its own.
func apart(items []Item) (out []Item) {
	for _, it := range items {
		if it.Chosen != nil {
			out = append(out, Item{Chosen: it.Chosen, Index: it.Index})
		}
		if it.Rejected != nil {
			out = append(out, Item{Rejected: it.Rejected, Index: it.Index})
		}
	}
	return out
}

// rotated are the prompts of rows with the answers of others, by which KTO estimates its KL: the first with
// the answer of the last, the second with that of the first, as TRL's KTOTrainer does. Longer ones than most
// tokens are cut from the left.
func rotated(rows []*Row, most int) []*Row {
	out := make([]*Row, len(rows))
	for i, r := range rows {
		from := rows[(i+len(rows)-1)%len(rows)]
		start := from.Targets[0]
		prompt, answer := r.prompt(), from.Tokens[start:]
		if over := len(prompt) + len(answer) - most; over > 0 {
			prompt = prompt[min(over, len(prompt)-1):]
		}
		n := &Row{Tokens: slices.Concat(prompt, answer)}
		for _, t := range from.Targets {
			n.Targets = append(n.Targets, t-start+int32(len(prompt)))
		}
		n.shared = len(n.Targets)
		out[i] = n
	}
	return out
}
