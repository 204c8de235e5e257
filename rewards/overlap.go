package rewards

import (
	"fmt"
	"slices"

	"steer/rl/data"
	"steer/rl/run"
)

// Overlap reports what held-out pairs share with train pairs, verbatim. In the released files a
// third of the utilitarianism test pairs and an eighth of the deontology ones share a text.
type Overlap struct {
	run.PairOverlap
	clean func(data.Pair) bool // tells a pair that shares nothing
}

// SharesNothing: the held-out pair p has neither its prompt nor a text in a train pair.
func (o Overlap) SharesNothing(p data.Pair) bool { return o.clean(p) }

// OverlapOf compares the held-out with the train pairs.
func OverlapOf(trainPairs, heldOut []data.Pair) Overlap {
	prompts, texts, whole := map[string]bool{}, map[string]bool{}, map[[2]string]bool{}
	for _, p := range trainPairs {
		c, r := sides(p)
		if p.Prompt != "" {
			prompts[p.Prompt] = true
		}
		whole[[2]string{c, r}] = true
		for _, text := range present(p) {
			texts[text] = true
		}
	}
	o := Overlap{PairOverlap: run.PairOverlap{Pairs: len(heldOut)}}
	o.clean = func(p data.Pair) bool {
		return !prompts[p.Prompt] && !slices.ContainsFunc(present(p), func(text string) bool { return texts[text] })
	}
	for _, p := range heldOut {
		c, r := sides(p)
		if prompts[p.Prompt] {
			o.SharedPrompt++
		}
		shared := 0
		for _, text := range present(p) {
			if texts[text] {
				shared++
			}
		}
		if shared > 0 {
			o.OneSide++
		}
		if shared == 2 {
			o.BothSides++
		}
		if whole[[2]string{c, r}] {
			o.WholePair++
		}
		if o.clean(p) {
			o.Clean++
		}
	}
	return o
}

// sides gives the two whole texts; of pre-tokenised pairs, their ids as text.
func sides(p data.Pair) (chosen, rejected string) {
	if p.ChosenIDs != nil {
		return fmt.Sprint(p.ChosenIDs), fmt.Sprint(p.RejectedIDs)
	}
	return p.Prompt + p.Chosen, p.Prompt + p.Rejected
}

// present gives the texts of the sides that there are.
func present(p data.Pair) []string {
	c, r := sides(p)
	switch p.Missing {
	case data.SideChosen:
		return []string{r}
	case data.SideRejected:
		return []string{c}
	}
	return []string{c, r}
}
