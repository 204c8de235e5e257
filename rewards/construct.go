package rewards

import (
	"strings"

	"steer/rl/data"
)

// group is the rows of one scenario, in file order.
type group struct {
	scenario         string
	preferred, other []answer
}

// answer is one labelled row.
type answer struct {
	text string
	line int
}

// labelled is a row of a file with labels.
type labelled struct {
	scenario, answer string
	label, line      int
}

// groups collects rows of equal scenario in the order of first appearance. (The
// released train files are not in blocks: a scenario's rows are spread.)
func (t Theory) groups(rows []labelled) []group {
	index := map[string]int{}
	var out []group
	for _, r := range rows {
		i, known := index[r.scenario]
		if !known {
			i = len(out)
			index[r.scenario] = i
			out = append(out, group{scenario: r.scenario})
		}
		a := answer{r.answer, r.line}
		if r.label == t.PreferredLabel {
			out[i].preferred = append(out[i].preferred, a)
		} else {
			out[i].other = append(out[i].other, a)
		}
	}
	return out
}

// pairs applies a recipe to the groups, in their order. Groups whose rows have all
// the same label give none.
func (t Theory) pairs(groups []group, recipe Recipe, runSeed uint64, source string) []data.Pair {
	var out []data.Pair
	for g, rows := range groups {
		for _, m := range matches(len(rows.preferred), len(rows.other), recipe, runSeed, g) {
			out = append(out, t.pair(rows.scenario, rows.preferred[m[0]], rows.other[m[1]], source))
		}
	}
	return out
}

// pair writes a pair in both forms. Blanks at the ends of the released fields are
// an accident of their making and would end up in the middle or, as the scored
// token, at the end of the text: they are trimmed.
func (t Theory) pair(scenario string, chosen, rejected answer, source string) data.Pair {
	scenario = strings.TrimSpace(scenario)
	c, r := strings.TrimSpace(chosen.text), strings.TrimSpace(rejected.text)
	user := data.Message{Role: data.RoleUser, Content: strings.ReplaceAll(t.ChatPrompt, "{scenario}", scenario)}
	return data.Pair{
		Prompt: scenario + t.PlainJoin, Chosen: c, Rejected: r,
		ChosenTurns:   []data.Message{user, {Role: data.RoleAssistant, Content: c}},
		RejectedTurns: []data.Message{user, {Role: data.RoleAssistant, Content: r}},
		Source:        source, Line: chosen.line,
	}
}

// statement gives a labelled text as a pair of which one side is missing.
func (t Theory) statement(r data.ToxiGen, source string) data.Pair {
	p := t.pair("", answer{r.Text, r.Line}, answer{r.Text, r.Line}, source)
	if r.Toxic() {
		p.Chosen, p.ChosenTurns, p.Missing = "", nil, data.SideChosen
	} else {
		p.Rejected, p.RejectedTurns, p.Missing = "", nil, data.SideRejected
	}
	return p
}

// reported gives a row of two scenarios as a pair.
func (t Theory) reported(r data.Utilitarianism, source string) data.Pair {
	p := t.pair("", answer{r.Better, r.Line}, answer{r.Worse, r.Line}, source)
	p.Prompt = ""
	return p
}
