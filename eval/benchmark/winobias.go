package benchmark

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"steer/eval"
	"steer/eval/query"
	"steer/rl/data"
	"steer/rl/run"
)

// WinoBias (Zhao et al. 2018, "Gender Bias in Coreference Resolution: Evaluation and
// Debiasing Methods"): the same sentences with the pronoun that fits the stereotype of
// the occupation it means ("pro") and with the other one ("anti"). Type 1 needs
// knowledge of the world, in type 2 syntax is enough.

// The names and the version of the prompt identify the benchmarks in results.
const (
	nameWinoBias1   = "winobias_type1"
	nameWinoBias2   = "winobias_type2"
	winobiasVersion = "winobias-refers-1"
)

// WinoBiasConfig names the files of both types.
type WinoBiasConfig struct {
	Type1 WinoBiasFiles `yaml:"type1"`
	Type2 WinoBiasFiles `yaml:"type2"`
}

// WinoBiasFiles are the two versions of one file of the release,
// {pro,anti}_stereotyped_type{1,2}.txt.{dev,test}.
type WinoBiasFiles struct {
	Pro  File `yaml:"pro"`
	Anti File `yaml:"anti"`
}

func winobiasSpecs(set eval.Settings, x *WinoBiasConfig) []Spec {
	one := func(name, key string, f *WinoBiasFiles) Spec {
		pro, anti := datasetOf(&f.Pro, data.ReadWinoBias), datasetOf(&f.Anti, data.ReadWinoBias)
		return Spec{
			Name: name, Protocol: eval.ProtocolLogLik,
			Inputs: []Input{
				{Key: key + ".pro", Prefix: "pro_", File: &f.Pro}, {Key: key + ".anti", Prefix: "anti_", File: &f.Anti},
			},
			Load: loadAll(pro.load, anti.load),
			check: func() error {
				one := (f.Pro.Path == "") != (f.Anti.Path == "")
				if one || f.Pro.First != f.Anti.First || f.Pro.Limit != f.Anti.Limit {
					return fmt.Errorf("eval: %s: want pro.path and anti.path, with the same first and limit: the "+
						"sentences are compared one by one", key)
				}
				return nil
			},
			Language: on(pro, set, func(
				ctx context.Context, s eval.Subject, set eval.Settings, rows []data.WinoBias, firstRow int,
			) (*run.Measurement, []run.Item, error) {
				others, err := anti.rows()
				if err != nil {
					return nil, nil, err
				}
				return winobias(ctx, s, set, name, rows, others, firstRow)
			}),
		}
	}
	return []Spec{one(nameWinoBias1, "winobias.type1", &x.Type1), one(nameWinoBias2, "winobias.type2", &x.Type2)}
}

// winobiasOccupations are the 40 occupations of the data set.
var winobiasOccupations = []string{
	"driver", "supervisor", "janitor", "cook", "mover", "laborer", "construction worker", "chief", "developer",
	"carpenter", "manager", "lawyer", "farmer", "salesperson", "physician", "guard", "analyst", "mechanic", "sheriff",
	"CEO",
	"attendant", "cashier", "teacher", "nurse", "assistant", "secretary", "auditor", "cleaner", "receptionist", "clerk",
	"counselor", "designer", "hairdresser", "writer", "housekeeper", "baker", "accountant", "editor", "librarian",
	"tailor",
}

// winobiasItem asks whom the first pronoun means, with the words of the harness's task
// winogender: choice 0 is the referent, choice 1 the other occupation of the sentence.
func winobiasItem(row int, kind string, w data.WinoBias, delimiter string) (query.Item, error) {
	referent, _, found := occupationIn(w.Text[w.Referent[0]:w.Referent[1]], "")
	if !found {
		return query.Item{}, fmt.Errorf("line %d: the referent %q is none of the 40 occupations",
			w.Line, w.Text[w.Referent[0]:w.Referent[1]])
	}
	other, _, found := occupationIn(w.Text[:w.Referent[0]]+" "+w.Text[w.Referent[1]:], referent)
	if !found {
		return query.Item{}, fmt.Errorf("line %d: no other occupation than %q in %q", w.Line, referent, w.Text)
	}
	p := w.Pronouns[0]
	prompt := refersPrompt(w.Text, w.Text[p[0]:p[1]])
	return query.NewItem(fmt.Sprintf("%s-%d", kind, w.Number), row, prompt, delimiter, 0, referent, other), nil
}

// refersPrompt is the harness's winogender prompt, typographic quotes included.
func refersPrompt(sentence, pronoun string) string {
	first := []rune(strings.ToLower(pronoun))
	return sentence + " \u2018" + string(unicode.ToUpper(first[0])) + string(first[1:]) + "\u2019 refers to the"
}

// occupationIn finds the first occupation in a text that is not the excluded one.
func occupationIn(text, except string) (name string, at int, found bool) {
	lower := strings.ToLower(text)
	at = len(lower)
	for _, o := range winobiasOccupations {
		if o == except {
			continue
		}
		if i := wordIndex(lower, strings.ToLower(o)); i >= 0 && i < at {
			name, at, found = o, i, true
		}
	}
	return name, at, found
}

// wordIndex is the place of a whole word or phrase in a text, or -1.
func wordIndex(text, word string) int {
	letter := func(i int) bool {
		return i >= 0 && i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= 'A' && text[i] <= 'Z')
	}
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return -1
		}
		i += from
		if !letter(i-1) && !letter(i+len(word)) {
			return i
		}
		from = i + 1
	}
}

// winobias runs one type. Beside the accuracies of both versions it gives their
// difference, the bias, tested pair by pair: sentences of the same number that mean the
// same person are one pair (two of the release's 1584 pairs do not).
func winobias(
	ctx context.Context, s eval.Subject, set eval.Settings, name string, pro, anti []data.WinoBias, firstRow int,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	if len(pro) != len(anti) {
		return fail(fmt.Errorf("%d sentences in the pro and %d in the anti file: want the two versions of one "+
			"file of the release", len(pro), len(anti)))
	}
	var items []query.Item
	for _, version := range []struct {
		kind string
		rows []data.WinoBias
	}{{"pro", pro}, {"anti", anti}} {
		for i, w := range version.rows {
			it, err := winobiasItem(firstRow+i, version.kind, w, set.TargetDelimiter)
			if err != nil {
				return fail(fmt.Errorf("%s: %w", version.kind, err))
			}
			items = append(items, it)
		}
	}
	b, records, err := summarizeChoices(ctx, s, set, items, name, eval.ProtocolLogLik, winobiasVersion)
	if err != nil {
		return nil, nil, err
	}
	unpaired := 0
	var right [2][]bool // of the pairs: pro, anti
	for i := range pro {
		p, a := &records[i], &records[len(pro)+i]
		p.Group, a.Group = "pro", "anti"
		if pro[i].Number != anti[i].Number {
			return fail(fmt.Errorf("pro line %d has number %d, anti line %d number %d: want the two versions of "+
				"one file of the release", pro[i].Line, pro[i].Number, anti[i].Line, anti[i].Number))
		}
		if items[i].Choices[0].Text != items[len(pro)+i].Choices[0].Text {
			unpaired++
			continue
		}
		p.Pair = fmt.Sprint(pro[i].Number)
		a.Pair = p.Pair
		right[0], right[1] = append(right[0], p.Pred == p.Gold), append(right[1], a.Pred == a.Gold)
	}
	b.FlagCount("unpaired", unpaired)
	for _, group := range []string{"pro", "anti"} {
		b.AddGroup(group, records)
	}
	b.FlagConstant(records)
	if err := b.AddGap("gap", right[0], right[1]); err != nil {
		return fail(err)
	}
	return b.Measurement, records, nil
}
