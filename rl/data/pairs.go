package data

import (
	"slices"
	"strings"

	"steer/internal/strictjson"
)

// ReadPairs reads rows of {"prompt"?, "chosen", "rejected", "margin"?}. Sides that are text
// are laid behind the prompt with nothing in between. Sides that are lists of messages
// are conversations that end with the assistant; a prompt (text or messages) that they do
// not begin with goes before them.
func ReadPairs(path string) (rows []Pair, odd []string, err error) {
	type row struct {
		Prompt   strictjson.Raw            `json:"prompt"`
		Chosen   strictjson.Raw            `json:"chosen"`
		Rejected strictjson.Raw            `json:"rejected"`
		Margin   float64                   `json:"margin"`
		Rest     map[string]strictjson.Raw `json:",unknown"`
	}
	var n notes
	err = chatRows(FormatPairs, path, &n, func(v *row) map[string]strictjson.Raw { return v.Rest },
		func(s *source, line int, v *row) error {
			p := Pair{Margin: v.Margin, Source: s.path, Line: line}
			for _, side := range []struct {
				name string
				raw  strictjson.Raw
			}{{"chosen", v.Chosen}, {"rejected", v.Rejected}} {
				if absent(side.raw) {
					return s.need(line, side.name, "text, or a list of messages")
				}
			}
			lists := strictjson.Kind(v.Chosen) == '['
			if lists != (strictjson.Kind(v.Rejected) == '[') {
				return s.bad(line, "rejected", "what chosen is: both texts, or both lists of messages",
					strictjson.Describe(v.Rejected))
			}
			var err error
			if lists {
				err = s.listPair(line, &p, v.Prompt, v.Chosen, v.Rejected, &n)
			} else {
				err = s.textPair(line, &p, v.Prompt, v.Chosen, v.Rejected, &n)
			}
			if err == nil && (!lists && p.Chosen == p.Rejected || lists &&
				slices.Equal(p.ChosenTurns, p.RejectedTurns)) {
				err = s.bad(line, "rejected", "a text that differs from chosen", quote(p.Rejected))
			}
			if err != nil {
				return err
			}
			rows = append(rows, p)
			return nil
		})
	return rows, n.list(), err
}

// textPair is a pair of texts; the prompt may be a list of messages.
func (s *source) textPair(line int, p *Pair, prompt, chosen, rejected strictjson.Raw, n *notes) error {
	if strictjson.Kind(prompt) == '[' {
		answer := func(field string, raw strictjson.Raw) (string, error) {
			m, _, err := s.side(line, field, raw, RoleAssistant, n)
			if err != nil {
				return "", err
			}
			return m[0].Content, nil
		}
		before, err := s.messages(line, "prompt", prompt, n)
		if err != nil {
			return err
		}
		a, err := answer("chosen", chosen)
		if err != nil {
			return err
		}
		b, err := answer("rejected", rejected)
		if err != nil {
			return err
		}
		return s.turns(line, p, append(slices.Clip(before), Message{Role: RoleAssistant, Content: a}),
			append(slices.Clip(before), Message{Role: RoleAssistant, Content: b}))
	}
	for _, f := range []struct {
		name string
		raw  strictjson.Raw
		into *string
	}{{"prompt", prompt, &p.Prompt}, {"chosen", chosen, &p.Chosen}, {"rejected", rejected, &p.Rejected}} {
		if absent(f.raw) {
			continue
		}
		if err := strictjson.Unmarshal(f.raw, f.into); err != nil {
			return s.bad(line, f.name, "text, or a list of messages", strictjson.Describe(f.raw))
		}
		if f.name != "prompt" && strings.TrimSpace(p.Prompt+*f.into) == "" {
			return s.bad(line, f.name, "text", quote(*f.into))
		}
	}
	return nil
}

// listPair is a pair of conversations.
func (s *source) listPair(line int, p *Pair, prompt, chosen, rejected strictjson.Raw, n *notes) error {
	a, err := s.messages(line, "chosen", chosen, n)
	if err != nil {
		return err
	}
	b, err := s.messages(line, "rejected", rejected, n)
	if err != nil {
		return err
	}
	if !absent(prompt) && !isEmpty(prompt) {
		before, _, err := s.side(line, "prompt", prompt, RoleUser, n)
		if err != nil {
			return err
		}
		if a, err = s.after(line, "chosen", before, a); err != nil {
			return err
		}
		if b, err = s.after(line, "rejected", before, b); err != nil {
			return err
		}
	}
	return s.turns(line, p, a, b)
}

// after lays a side behind its prompt, which many files repeat in it.
func (s *source) after(line int, field string, before, side []Message) ([]Message, error) {
	said := side
	if len(said) > 0 && said[0].Role == RoleSystem && before[0].Role != RoleSystem {
		said = said[1:] // the prompt is the question alone
	}
	if len(said) >= len(before) && slices.Equal(said[:len(before)], before) {
		return side, nil
	}
	if side[0].Role != RoleAssistant {
		return nil, s.bad(line, field, "a list that begins with the prompt, or with the answer to it",
			quote(side[0].Role+": "+side[0].Content))
	}
	return slices.Concat(before, side), nil
}

// turns makes a pair of two conversations. Its texts are their contents end to end, what
// both begin with apart.
func (s *source) turns(line int, p *Pair, chosen, rejected []Message) error {
	for _, side := range []struct {
		name string
		m    []Message
	}{{"chosen", chosen}, {"rejected", rejected}} {
		last := side.m[len(side.m)-1]
		if last.Role != RoleAssistant {
			return s.bad(line, side.name, "messages that end with the assistant's", "the last is the "+last.Role+"'s")
		}
		if slices.ContainsFunc(side.m, func(m Message) bool { return m.Masked }) {
			return s.bad(line, side.name, "messages without a weight: a pair is scored as a whole",
				"a message that is not to count")
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
