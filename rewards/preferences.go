package rewards

import (
	"fmt"

	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/run"
)

// rankedPairs makes pairs of ranked answers: of each row every better answer with every worse one (cross), or
// one of these by the seed (one). Answers of equal score are no pair. The split goes by row.
func rankedPairs(src data.Source, recipe Recipe, runSeed uint64, info *run.PairSource) ([]data.Pair, error) {
	rows, notes, err := data.ReadRanked(src)
	if err != nil {
		return nil, err
	}
	wanted := pick(rows, src.Part(len(rows)))
	info.Rows, info.Groups = len(rows), len(wanted)
	var out []data.Pair
	ties, flat := 0, 0
	for g, row := range wanted {
		var pairs []data.Pair
		for i, a := range row.Answers {
			for k, b := range row.Answers {
				switch {
				case a.Score > b.Score:
					pairs = append(pairs, data.PairOf(row.Prompt, a.Turns, b.Turns, row.Source, row.Line))
				case a.Score == b.Score && i < k:
					ties++
				}
			}
		}
		if len(pairs) == 0 {
			flat++
			continue
		}
		if recipe == RecipeOne {
			one := seed.Rand(runSeed, "reward.recipe.one", uint64(g)).IntN(len(pairs))
			pairs = pairs[one : one+1]
		}
		out = append(out, pairs...)
	}
	info.Notes = append(notes, counted(ties, "pairs of answers with equal scores were left out")...)
	info.Notes = append(info.Notes, counted(flat, "rows give no pair: all of their answers have one score")...)
	return out, nil
}

// labelledPairs makes pairs of answers that are called good or bad. With rows each is a text with a label, a
// pair of which one side is missing. The other recipes pair the good and the bad answers to one prompt, wherever
// they are in the file. The split goes by prompt.
func labelledPairs(src data.Source, recipe Recipe, runSeed uint64, info *run.PairSource) ([]data.Pair, error) {
	rows, notes, err := data.ReadLabelled(src)
	if err != nil {
		return nil, err
	}
	prompts := byPrompt(rows)
	wanted := pick(prompts, src.Part(len(prompts)))
	info.Rows, info.Groups, info.Notes = len(rows), len(wanted), notes
	var out []data.Pair
	alone := 0
	for g, p := range wanted {
		if recipe == RecipeRows {
			for _, r := range p.all {
				out = append(out, labelledText(r))
			}
			continue
		}
		if len(p.good) == 0 || len(p.bad) == 0 {
			alone++
		}
		for _, m := range matches(len(p.good), len(p.bad), recipe, runSeed, g) {
			good, bad := p.good[m[0]], p.bad[m[1]]
			out = append(out, data.PairOf(good.Prompt, good.Answer, bad.Answer, good.Source, good.Line))
		}
	}
	info.Notes = append(info.Notes, counted(alone, "prompts give no pair: their answers are all good or all bad "+
		"(recipe: rows learns from each by itself)")...)
	return out, nil
}

// labelledText is an answer with its label as a pair of which one side is missing.
func labelledText(r data.Labelled) data.Pair {
	p := data.PairOf(r.Prompt, r.Answer, r.Answer, r.Source, r.Line)
	if r.Good {
		p.Rejected, p.RejectedTurns, p.Missing = "", nil, data.SideRejected
	} else {
		p.Chosen, p.ChosenTurns, p.Missing = "", nil, data.SideChosen
	}
	return p
}

// asked is the answers to one prompt, in file order.
type asked struct{ all, good, bad []data.Labelled }

// byPrompt gathers answers to equal prompts in the order of first appearance.
func byPrompt(rows []data.Labelled) []asked {
	index := map[string]int{}
	var out []asked
	for _, r := range rows {
		key := fmt.Sprintf("%+v", r.Prompt)
		i, known := index[key]
		if !known {
			i = len(out)
			index[key] = i
			out = append(out, asked{})
		}
		out[i].all = append(out[i].all, r)
		if r.Good {
			out[i].good = append(out[i].good, r)
		} else {
			out[i].bad = append(out[i].bad, r)
		}
	}
	return out
}

// matches applies a recipe to the numbers of a group: which preferred one stands against which other one.
func matches(preferred, other int, recipe Recipe, runSeed uint64, group int) (out [][2]int) {
	both := min(preferred, other)
	switch {
	case both == 0:
	case recipe == RecipeCross:
		for p := range preferred {
			for o := range other {
				out = append(out, [2]int{p, o})
			}
		}
	case recipe == RecipeZip:
		for i := range both {
			out = append(out, [2]int{i, i})
		}
	case recipe == RecipeOne:
		rng := seed.Rand(runSeed, "reward.recipe.one", uint64(group))
		p, o := rng.IntN(preferred), rng.IntN(other)
		out = append(out, [2]int{p, o})
	}
	return out
}

// counted is a note, if there is something to count.
func counted(n int, what string) []string {
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d %s", n, what)}
}

// Classifies tells whether the score is the log-odds of a label, so that the head needs a bias: of statements
// (toxicity), and of labelled answers that are not paired.
func (c Config) Classifies() bool {
	if c.Theory == Toxicity {
		return true
	}
	t, err := Lookup(c.Theory)
	if err != nil {
		return false
	}
	src, _ := c.sources()
	if src, err = src.Resolve(t.Formats...); err != nil { // loading complains
		return false
	}
	recipe, err := t.recipeFor(c.Recipe, src.Format)
	return err == nil && src.Format == data.FormatKTO && recipe == RecipeRows
}
