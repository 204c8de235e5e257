package benchmark

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"steer/eval"
	"steer/eval/query"
	"steer/rl/data"
	"steer/rl/run"
)

// WSC273, and WSC285 with twelve schemas more, are the Winograd Schema Challenge by partial
// evaluation (Trinh & Le 2018) as lm-evaluation-harness's task wsc273 does it: the pronoun is
// replaced by each option and the probability of what follows decides.

// The names and versions identify the benchmarks in results.
const (
	nameWSC273    = "wsc273"
	wsc273Version = "wsc273-harness-1"
	wsc273Size    = 273

	nameWSC285    = "wsc285"
	wsc285Version = "wsc285-harness-1"
	wsc285Size    = 285
)

// WSC273Items makes the items of the first 273 schemas (all, if there are fewer).
func WSC273Items(schemas []data.Schema, delimiter string) []query.Item {
	return wscItems(nameWSC273, schemas[:min(len(schemas), wsc273Size)], delimiter)
}

// wsc285Items makes the items of all schemas, in the same form.
func wsc285Items(schemas []data.Schema, delimiter string) []query.Item {
	return wscItems(nameWSC285, schemas, delimiter)
}

func wscItems(name string, schemas []data.Schema, delimiter string) []query.Item {
	items := make([]query.Item, len(schemas))
	for i, s := range schemas {
		items[i] = wscItem(i, s, delimiter)
		items[i].ID = fmt.Sprintf("%s-%d", name, i)
	}
	return items
}

func wscItem(row int, s data.Schema, delimiter string) query.Item {
	// The column form of HF winograd_wsc: parts joined by one blank; the pronoun's
	// place counts characters.
	text, loc := s.Pron, 0
	if s.Txt1 != "" {
		text, loc = s.Txt1+" "+s.Pron, len([]rune(s.Txt1))+1
	}
	if s.Txt2 != "" {
		text += " " + s.Txt2
	}
	// One pass, as the harness: loc is not adjusted.
	runes := []rune(strings.ReplaceAll(text, "  ", " "))
	tail := delimiter + string(runes[loc+len([]rune(s.Pron)):])
	it := query.Item{Row: row, Gold: s.Correct}
	for _, option := range s.Answers {
		option = wscOption(option, s.Pron, runes, loc)
		it.Choices = append(it.Choices, query.Choice{Context: string(runes[:loc]) + option, Continuation: tail})
	}
	return it
}

var (
	wscPossessive = []string{"my", "his", "her", "our", "their"}
	wscStarters   = []string{"A", "An", "The", "She", "He", "It", "They", "My", "His", "Her", "Their"}
)

// wscOption is the harness's process_doc on one option: 's after a possessive
// pronoun, and a lower-case first word unless the pronoun begins a sentence.
func wscOption(option, pronoun string, text []rune, loc int) string {
	if slices.Contains(wscPossessive, strings.ToLower(pronoun)) {
		option += "'s"
	}
	first, _, _ := strings.Cut(option, " ")
	// Python indexes from the end where loc is 0 or 1.
	before := text[((loc-2)%len(text)+len(text))%len(text)]
	if slices.Contains(wscStarters, first) && before != '.' {
		option = strings.ReplaceAll(option, first, strings.ToLower(first)) // also inside words, as Python does
	}
	return option
}

func wscSpecs(set eval.Settings, smaller, larger *File) []Spec {
	first := languageSpec(nameWSC273, eval.ProtocolLogLik, "wsc273", set, datasetOf(smaller, data.ReadWSC), wsc273)
	first.check = func() error {
		if smaller.First != 0 {
			return fmt.Errorf("eval: wsc273.first: the benchmark is the first 273 schemas, got first %d", smaller.First)
		}
		return nil
	}
	whole := languageSpec(nameWSC285, eval.ProtocolLogLik, "wsc285", set, datasetOf(larger, data.ReadWSC), wsc285)
	whole.check = func() error {
		if larger.First != 0 {
			return fmt.Errorf("eval: wsc285.first: the benchmark is all 285 schemas, got first %d", larger.First)
		}
		return nil
	}
	return []Spec{first, whole}
}

// wsc273 runs the benchmark. Only accuracy is defined on it. Fewer than 273 schemas
// are measured too and flagged as partial.
func wsc273(
	ctx context.Context, s eval.Subject, set eval.Settings, schemas []data.Schema, _ int,
) (*run.Measurement, []run.Item, error) {
	return partialBenchmark(ctx, s, set, WSC273Items(schemas, set.TargetDelimiter), nameWSC273, wsc273Version,
		wsc273Size)
}

// wsc285 runs the benchmark on the larger collection. A file of 283 schemas, which is
// what was published for years, is flagged as partial.
func wsc285(
	ctx context.Context, s eval.Subject, set eval.Settings, schemas []data.Schema, _ int,
) (*run.Measurement, []run.Item, error) {
	return partialBenchmark(ctx, s, set, wsc285Items(schemas, set.TargetDelimiter), nameWSC285, wsc285Version,
		wsc285Size)
}

// partialBenchmark runs a benchmark of partial evaluation: accuracy, beside it that of
// always taking the place that is right more often.
func partialBenchmark(
	ctx context.Context, s eval.Subject, set eval.Settings, items []query.Item, name, version string, size int,
) (*run.Measurement, []run.Item, error) {
	b, records, err := summarizeChoices(ctx, s, set, items, name, eval.ProtocolLogLik, version)
	if err != nil {
		return nil, nil, err
	}
	if len(records) < size {
		b.FlagCount("partial", len(records))
	}
	second := 0
	for _, r := range records {
		second += r.Gold
	}
	b.Set("majority_acc", float64(max(second, len(records)-second))/float64(len(records)))
	return b.Measurement, records, nil
}
