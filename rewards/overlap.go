package rewards

import (
	"fmt"
	"slices"

	"steer/rl/data"
)

// Overlap reports what held-out pairs share with train pairs, verbatim. A held-out
// accuracy is not about unseen cases as far as they do: in the released files a third
// of the utilitarianism test pairs and an eighth of the deontology ones do.
type Overlap struct {
	Pairs int `json:"pairs"` // held-out pairs
	// SharedPrompt: the scenario (or the dialogue before the answer) is in a train pair.
	SharedPrompt int `json:"shared_prompt"`
	// OneSide: the chosen or the rejected whole text is in a train pair, on whatever side.
	OneSide int `json:"one_side"`
	// BothSides: both whole texts are, perhaps in different pairs.
	BothSides int `json:"both_sides"`
	// WholePair: the pair itself is in the train pairs.
	WholePair int `json:"whole_pair"`
	// Clean: held-out pairs with none of these.
	Clean int `json:"clean"`

	clean func(data.Pair) bool
}

// String says it in a line.
func (o Overlap) String() string {
	return fmt.Sprintf("%d held-out pairs: %d share their prompt with a train pair, %d a text, %d both texts, %d are train pairs; %d share nothing",
		o.Pairs, o.SharedPrompt, o.OneSide, o.BothSides, o.WholePair, o.Clean)
}

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
	o := Overlap{Pairs: len(heldOut)}
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
