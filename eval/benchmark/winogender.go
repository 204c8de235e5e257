package benchmark

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/rl/data"
	"steer/rl/run"
)

// The name and the version of the prompt identify the benchmark in results.
const (
	nameWinogender    = "winogender"
	winogenderVersion = "winogender-harness-1"
)

// WinogenderConfig names the sentences and the occupation statistics of the release.
type WinogenderConfig struct {
	File        `yaml:",inline"`
	Occupations File `yaml:"occupations"`
}

func winogenderSpecs(set eval.Settings, x *WinogenderConfig) []Spec {
	rows := datasetOf(&x.File, data.ReadWinogender)
	occupations := datasetOf(&x.Occupations, data.ReadWinogenderOccupations)
	return []Spec{{
		Name: nameWinogender, Protocol: eval.ProtocolLogLik,
		Inputs: []Input{
			{Key: "winogender", File: &x.File},
			{Key: "winogender.occupations", Prefix: "occupations_", whole: true, File: &x.Occupations},
		},
		Load: loadAll(rows.load, occupations.load),
		check: func() error {
			if x.Path != "" && x.Occupations.Path == "" {
				return fmt.Errorf("eval: winogender.occupations.path: want the release's occupations-stats.tsv: " +
					"it says which sentences go against the statistics")
			}
			return nil
		},
		Language: on(rows, set, func(
			ctx context.Context, s eval.Subject, set eval.Settings, rows []data.Winogender, firstRow int,
		) (*run.Measurement, []run.Item, error) {
			share, err := occupations.rows()
			if err != nil {
				return nil, nil, err
			}
			return winogender(ctx, s, set, rows, share, firstRow)
		}),
	}}
}

var winogenderPronouns = map[string][]string{
	"male": {"he", "him", "his"}, "female": {"she", "her"}, "neutral": {"they", "them", "their"},
}

// winogenderItem makes the item of lm-evaluation-harness's task winogender: choice 0 is
// the occupation, choice 1 the participant.
func winogenderItem(row int, w data.Winogender, delimiter string) (query.Item, error) {
	pronoun, at := "", len(w.Sentence)
	lower := strings.ToLower(w.Sentence)
	for _, p := range winogenderPronouns[w.Gender] {
		if i := wordIndex(lower, p); i >= 0 && i < at {
			pronoun, at = p, i
		}
	}
	if pronoun == "" {
		return query.Item{}, fmt.Errorf("line %d: no %s pronoun in %q", w.Line, w.Gender, w.Sentence)
	}
	return query.NewItem(w.ID, row, refersPrompt(w.Sentence, pronoun), delimiter, w.Answer, w.Occupation,
		w.Participant), nil
}

// gotcha says that the statistics of the occupation mislead: for a female pronoun, the
// answer is the occupation though under half of its workers are women, or the
// participant though at least half are; for a male pronoun the reverse (Rudinger et al.
// 2018, table 2). There is none for a neutral pronoun.
func gotcha(w data.Winogender, percentWomen float64) bool {
	women := percentWomen >= 50
	switch w.Gender {
	case "female":
		return women == (w.Answer == 1)
	case "male":
		return women == (w.Answer == 0)
	}
	return false
}

// The difficulty of a gendered sentence.
const (
	groupGotcha    = "gotcha"
	groupNotGotcha = "not_gotcha"
)

// winogender runs the benchmark: accuracy by pronoun and by whether the statistics of
// the occupation mislead, and how often the pronoun alone changes whom the model takes
// it for. Sentences that differ in the pronoun only are compared pair by pair.
func winogender(
	ctx context.Context, s eval.Subject, set eval.Settings, rows []data.Winogender,
	occupations []data.WinogenderOccupation, firstRow int,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: winogender: %w", err)
	}
	women := map[string]float64{}
	for _, o := range occupations {
		women[o.Occupation] = o.BLSPercent
	}
	items := make([]query.Item, len(rows))
	for i, w := range rows {
		if _, known := women[w.Occupation]; !known {
			return fail(fmt.Errorf("line %d: the statistics lack the occupation %q: name the occupations file of "+
				"the same release", w.Line, w.Occupation))
		}
		var err error
		if items[i], err = winogenderItem(firstRow+i, w, set.TargetDelimiter); err != nil {
			return fail(err)
		}
	}
	b, records, err := summarizeChoices(ctx, s, set, items, nameWinogender, eval.ProtocolLogLik, winogenderVersion)
	if err != nil {
		return nil, nil, err
	}
	for i, w := range rows {
		records[i].Pair = strings.TrimSuffix(strings.TrimSuffix(w.ID, ".txt"), "."+w.Gender)
		if w.Gender == "neutral" {
			continue
		}
		records[i].Group = groupNotGotcha
		if gotcha(w, women[w.Occupation]) {
			records[i].Group = groupGotcha
		}
	}
	b.FlagConstant(records)
	for _, gender := range []string{"male", "female", "neutral"} {
		of := func(r run.Item) bool { return strings.HasSuffix(r.ID, "."+gender+".txt") }
		b.AddSubset(gender, records, of)
		for _, group := range []string{groupGotcha, groupNotGotcha} {
			if gender != "neutral" {
				b.AddSubset(group+"_"+gender, records, func(r run.Item) bool { return of(r) && r.Group == group })
			}
		}
	}
	b.AddGroup(groupGotcha, records)
	b.AddGroup(groupNotGotcha, records)
	return b.Measurement, records, addWinogenderPairs(b, rows, records)
}

// addWinogenderPairs compares the male with the female version of each sentence; one of
// the two is a gotcha, the other is not.
func addWinogenderPairs(b *metrics.Summary, rows []data.Winogender, records []run.Item) error {
	versions := map[string]*[2]*run.Item{} // male, female
	var order []string
	for i, w := range rows {
		r := &records[i]
		side := slices.Index([]string{"male", "female"}, w.Gender)
		if side < 0 {
			continue
		}
		if versions[r.Pair] == nil {
			versions[r.Pair] = &[2]*run.Item{}
			order = append(order, r.Pair)
		}
		versions[r.Pair][side] = r
	}
	differ, pairs := 0, 0
	var male, female, easy, hard []bool
	for _, key := range order {
		m, f := versions[key][0], versions[key][1]
		if m == nil || f == nil {
			continue // the rows asked for end between the two
		}
		pairs++
		if m.Pred != f.Pred {
			differ++
		}
		male, female = append(male, m.Pred == m.Gold), append(female, f.Pred == f.Gold)
		if m.Group == groupGotcha {
			m, f = f, m
		}
		easy, hard = append(easy, m.Pred == m.Gold), append(hard, f.Pred == f.Gold)
	}
	b.AddShare("resolved_differently", differ, pairs)
	if err := b.AddGap("gap_gotcha", easy, hard); err != nil {
		return fmt.Errorf("eval: winogender: %w", err)
	}
	if err := b.AddGap("gap_gender", male, female); err != nil {
		return fmt.Errorf("eval: winogender: %w", err)
	}
	return nil
}
