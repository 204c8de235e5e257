package data

import (
	"slices"
	"strings"

	"steer/internal/strictjson"
)

// readPairs reads rows of {"prompt"?, "chosen", "rejected", "margin"?}. Sides that are text are laid behind
// the prompt with nothing in between. Sides that are messages are conversations that end with the
// assistant; a prompt (text or messages) that they do not begin with goes before them. The prompt may
// stand in other columns as well, see [record.pairPrompt].
func readPairs(src Source) (rows []Pair, odd []string, err error) {
	odd, err = eachRecord(src, func(r *record) error {
		p := Pair{Source: r.path, Line: r.row}
		for _, side := range []string{"chosen", "rejected"} {
			if r.absent(side) {
				return r.need(side, "text, or a list of messages")
			}
		}
		err := r.number("margin", &p.Margin)
		if err != nil {
			return err
		}
		lists := isList(r.fields["chosen"])
		if lists != isList(r.fields["rejected"]) {
			return r.bad("rejected", "what chosen is: both texts, or both lists of messages",
				strictjson.Describe(r.fields["rejected"]))
		}
		prompt, plain, err := r.pairPrompt()
		if err != nil {
			return err
		}
		switch {
		case lists:
			err = r.listPair(&p, prompt)
		case plain:
			err = r.textPair(&p, prompt)
		default:
			err = r.answerPair(&p, prompt)
		}
		if err == nil && (!lists && p.Chosen == p.Rejected || lists && slices.Equal(p.ChosenTurns, p.RejectedTurns)) {
			err = r.bad("rejected", "a text that differs from chosen", quote(p.Rejected))
		}
		if err == nil {
			rows = append(rows, p)
		}
		return err
	})
	return rows, odd, err
}

func isList(raw strictjson.Raw) bool {
	kind := strictjson.Kind(raw)
	return kind == '[' || kind == '{'
}

// number reads a field that is a number, if it is there.
func (r *record) number(name string, into *float64) error {
	if r.absent(name) {
		return nil
	}
	if strictjson.Unmarshal(r.fields[name], into) != nil {
		return r.bad(name, "a number", strictjson.Describe(r.fields[name]))
	}
	return nil
}

// pairPrompt is what both sides answer: the column prompt, Alpaca's instruction and input, ShareGPT's
// conversations or, where there is none of these, messages; a column system goes before it. plain: it is a
// text, or none. nil: there is none, or it stands in the sides.
func (r *record) pairPrompt() (m []Message, plain bool, err error) {
	for _, name := range []string{"prompt", "instruction", "conversations", "messages"} {
		switch {
		case !r.fields.given(name):
		case m != nil && name == "messages": // those of the chosen side, as UltraFeedback repeats them
			r.unreadKey(name)
		case m != nil:
			return nil, false, r.bad(name, "one prompt", "a second one beside another column's")
		default:
			if m, plain, err = r.prompt(name); err != nil {
				return nil, false, err
			}
		}
	}
	if m == nil {
		m, err = r.withSystem(nil, "")
		return m, m == nil, err
	}
	return m, plain, nil
}

// textPair is a pair of texts behind a text.
func (r *record) textPair(p *Pair, prompt []Message) error {
	if prompt != nil {
		p.Prompt = prompt[0].Content
	}
	for _, side := range []struct {
		name string
		into *string
	}{{"chosen", &p.Chosen}, {"rejected", &p.Rejected}} {
		if strictjson.Unmarshal(r.fields[side.name], side.into) != nil {
			return r.bad(side.name, "text, or a list of messages", strictjson.Describe(r.fields[side.name]))
		}
		if strings.TrimSpace(p.Prompt+*side.into) == "" {
			return r.bad(side.name, "text", quote(*side.into))
		}
	}
	return nil
}

// answerPair is a pair of texts behind messages.
func (r *record) answerPair(p *Pair, prompt []Message) error {
	var sides [2][]Message
	for i, name := range []string{"chosen", "rejected"} {
		m, _, err := r.side(name, RoleAssistant)
		if err != nil {
			return err
		}
		sides[i] = slices.Concat(prompt, m)
	}
	return r.turns(p, sides[0], sides[1])
}

// listPair is a pair of conversations.
func (r *record) listPair(p *Pair, prompt []Message) error {
	var sides [2][]Message
	for i, name := range []string{"chosen", "rejected"} {
		m, err := r.messages(name)
		if err == nil && prompt != nil {
			m, err = r.after(name, prompt, m)
		}
		if err != nil {
			return err
		}
		sides[i] = m
	}
	return r.turns(p, sides[0], sides[1])
}

// after lays a side behind its prompt, which many files repeat in it.
func (r *record) after(field string, before, side []Message) ([]Message, error) {
	said := side
	if len(said) > 0 && said[0].Role == RoleSystem && before[0].Role != RoleSystem {
		said = said[1:] // the prompt is the question alone
	}
	if len(said) >= len(before) && slices.Equal(said[:len(before)], before) {
		return side, nil
	}
	if before[0].Role == RoleSystem && side[0].Role == RoleUser && (len(before) == 1 ||
		len(side) >= len(before)-1 && slices.Equal(side[:len(before)-1], before[1:])) {
		return slices.Concat(before[:1], side), nil // of the prompt the sides repeat all but the system text
	}
	if side[0].Role != RoleAssistant {
		return nil, r.bad(field, "a list that begins with the prompt, or with the answer to it",
			quote(side[0].Role+": "+side[0].Content))
	}
	return slices.Concat(before, side), nil
}

// turns makes a pair of two conversations. Its texts are their contents end to end, what
// both begin with apart.
func (r *record) turns(p *Pair, chosen, rejected []Message) error {
	for _, side := range []struct {
		name string
		m    []Message
	}{{"chosen", chosen}, {"rejected", rejected}} {
		if err := r.scored(side.name, side.m); err != nil {
			return err
		}
	}
	shared := 0
	for shared < min(len(chosen), len(rejected))-1 && chosen[shared] == rejected[shared] {
		shared++
	}
	p.Prompt = Conversation{Messages: chosen[:shared]}.Text()
	p.Chosen, p.Rejected = Conversation{Messages: chosen[shared:]}.Text(),
		Conversation{Messages: rejected[shared:]}.Text()
	p.ChosenTurns, p.RejectedTurns = chosen, rejected
	return nil
}

// scored checks that a conversation can be scored: it ends with the assistant, and counts as a whole.
func (r *record) scored(field string, m []Message) error {
	if last := m[len(m)-1]; last.Role != RoleAssistant {
		return r.bad(field, "messages that end with the assistant's", "the last is the "+last.Role+"'s")
	}
	if slices.ContainsFunc(m, func(m Message) bool { return m.Masked }) {
		return r.bad(field, "messages without a weight: a pair is scored as a whole", "a message that is not to count")
	}
	return nil
}
