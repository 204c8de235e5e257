package judge

import (
	"fmt"
	"strings"

	"steer/internal/seed"
	"steer/rl/data"
)

// Pair is two answers to compare: the first is the pair's Chosen.
type Pair struct {
	data.Pair
	// Labelled: people prefer the first.
	Labelled bool
	// ID names the row; "" where it has no name but its line.
	ID string
	// Policies wrote the first and the second answer; "" where nobody says.
	Policies [2]string
}

// Of makes pairs of those that rl/data and rewards read.
func Of(pairs []data.Pair, labelled bool) []Pair {
	out := make([]Pair, len(pairs))
	for i, p := range pairs {
		out[i] = Pair{Pair: p, Labelled: labelled}
	}
	return out
}

// Pairs makes pairs of the answers to each prompt: of each answer with each later one or, with one, a pair that the
// seed draws. Where they have scores, the one with the higher is the first, and the pair is labelled; without, or with
// equal ones, they stand as they do in the row. same counts the pairs of equal answers, which are left out.
func Pairs(rows []data.Ranked, one bool, runSeed uint64) (out []Pair, same int) {
	for n, row := range rows {
		var pairs []Pair
		for i := range row.Answers {
			for k := i + 1; k < len(row.Answers); k++ {
				if p, differ := pairOf(row, i, k); differ {
					pairs = append(pairs, p)
				} else {
					same++
				}
			}
		}
		if one && len(pairs) > 1 {
			at := seed.Rand(runSeed, "judge.recipe.one", uint64(n)).IntN(len(pairs))
			pairs = pairs[at : at+1]
		}
		out = append(out, pairs...)
	}
	return out, same
}

// pairOf is the pair of two answers to a prompt; it is none if they say the same.
func pairOf(row data.Ranked, i, k int) (p Pair, differ bool) {
	labelled := !row.Unscored && row.Answers[i].Score != row.Answers[k].Score
	if labelled && row.Answers[k].Score > row.Answers[i].Score {
		i, k = k, i
	}
	a, b := row.Answers[i].Turns, row.Answers[k].Turns
	p = Pair{Pair: data.PairOf(row.Prompt, a, b, row.Source, row.Line), Labelled: labelled, ID: row.ID}
	if row.Policies != nil {
		p.Policies = [2]string{row.Policies[i], row.Policies[k]}
	}
	return p, strings.TrimSpace(p.Chosen) != strings.TrimSpace(p.Rejected)
}

// check finds what is no pair of two answers in words.
func (p Pair) check() error {
	switch {
	case p.ChosenIDs != nil:
		return fmt.Errorf("%s: line %d: token ids cannot be shown to a judge: want two answers as text", p.Source,
			p.Line)
	case p.Missing != data.SideNone:
		return fmt.Errorf("%s: line %d: an answer with a label by itself: want two answers to compare (recipe: cross "+
			"pairs the good and the bad answers to a prompt)", p.Source, p.Line)
	}
	return nil
}

// Sides gives what both sides of a pair answer, as text, and the two answers. Several turns are shown with who says
// them. There are pairs that answer nothing, though a question stands before them where they are learned from as
// conversations (utilitarianism of ETHICS): these are texts by themselves.
func (p Pair) Sides() (prompt, first, second string) {
	a, b := p.Turns()
	asked := p.Asked()
	if p.Prompt == "" {
		return "", answer(a[len(asked):]), answer(b[len(asked):])
	}
	return transcript(asked), answer(a[len(asked):]), answer(b[len(asked):])
}

// answer is what a side says; a single message needs no name before it.
func answer(turns []data.Message) string {
	if len(turns) == 1 {
		return strings.TrimSpace(turns[0].Content)
	}
	return transcript(turns)
}

func transcript(turns []data.Message) string {
	lines := make([]string, len(turns))
	for i, m := range turns {
		lines[i] = m.Role + ": " + strings.TrimSpace(m.Content)
	}
	return strings.Join(lines, "\n")
}
