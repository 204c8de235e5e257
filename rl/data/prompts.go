package data

import "fmt"

// readPrompts reads what files of any shape ask. Of dialogues all messages are given, see
// [Conversation.FirstPrompt]; of the others the prompt alone.
func readPrompts(src Source) (rows []Conversation, notes []string, err error) {
	asked := func(m []Message, line int) {
		for len(m) > 0 && m[len(m)-1].Role == RoleAssistant {
			m = m[:len(m)-1] // what both sides of a pair say alike
		}
		rows = append(rows, Conversation{Messages: m, Asked: true, Source: src.Path, Line: line})
	}
	switch src.Format {
	case FormatPairs:
		var pairs []Pair
		pairs, notes, err = readPairs(src)
		for _, p := range pairs {
			asked(p.Asked(), p.Line)
		}
	case FormatHH:
		var dialogues []HH
		dialogues, _, err = ReadHH(src.Path)
		for _, h := range dialogues {
			asked(h.Pair(src.Path).Asked(), h.Line)
		}
	case FormatKTO:
		var labelled []Labelled
		labelled, notes, err = ReadLabelled(src)
		for _, l := range labelled {
			asked(l.Prompt, l.Line)
		}
	case FormatRanked:
		var ranked []Ranked
		ranked, notes, err = ReadCandidates(src)
		for _, r := range ranked {
			asked(r.Prompt, r.Line)
		}
	case FormatText:
		var lines []TextLine
		lines, err = ReadLines(src.Path)
		for _, l := range lines {
			asked([]Message{{Role: RoleUser, Content: l.Text}}, l.Line)
		}
	default:
		return readConversations(src)
	}
	return rows, append(notes, repeated(rows)...), err
}

// repeated counts prompts that are equal to an earlier one: they are asked as often as they stand there.
func repeated(rows []Conversation) []string {
	seen := map[string]bool{}
	var n notes
	for _, c := range rows {
		key := fmt.Sprintf("%+v", c.Messages)
		if seen[key] {
			n.add(c.Line, "prompts equal to an earlier one; each is asked")
		}
		seen[key] = true
	}
	return n.list()
}

// Asked is what both sides of a pair answer: its prompt, or what the sides begin with alike.
func (p Pair) Asked() []Message {
	chosen, rejected := p.Turns()
	shared := 0
	for shared < min(len(chosen), len(rejected))-1 && chosen[shared] == rejected[shared] {
		shared++
	}
	return chosen[:shared]
}
