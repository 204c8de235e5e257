package benchmark

import (
	"context"
	"fmt"

	"steer/eval"
	"steer/eval/query"
	"steer/eval/result"
	"steer/rl/data"
)

// WinoGrande by partial evaluation, as lm-evaluation-harness's task winogrande does it:
// each option in place of the blank, and the probability of what follows decides.

// NameWinoGrande and WinoGrandeVersion identify the benchmark in results.
const (
	NameWinoGrande    = "winogrande"
	WinoGrandeVersion = "winogrande-harness-1"
	winograndeSize    = 1267 // rows of dev.jsonl
)

func winograndeSpecs(set eval.Settings, f *File) []Spec {
	return []Spec{languageSpec(NameWinoGrande, eval.ProtocolLogLik, "winogrande", f, data.ReadWinoGrandeItems,
		func(ctx context.Context, s eval.Subject, rows []data.Partial) (*result.Measurement, []result.Record, error) {
			return WinoGrande(ctx, s, set, rows, f.First)
		})}
}

// WinoGrandeItems makes the items.
func WinoGrandeItems(rows []data.Partial, firstRow int, delimiter string) []query.Item {
	items := make([]query.Item, len(rows))
	for i, r := range rows {
		it := query.Item{ID: fmt.Sprintf("%s-%d", NameWinoGrande, firstRow+i), Row: firstRow + i, Gold: r.Gold}
		for _, context := range r.Contexts {
			it.Choices = append(it.Choices, query.Choice{Context: context, Continuation: delimiter + r.Continuation})
		}
		items[i] = it
	}
	return items
}

// WinoGrande runs the benchmark. Only accuracy is defined on it; fewer items than the
// development set holds are flagged as partial.
func WinoGrande(ctx context.Context, s eval.Subject, set eval.Settings, rows []data.Partial, firstRow int) (*result.Measurement, []result.Record, error) {
	return partialBenchmark(ctx, s, set, WinoGrandeItems(rows, firstRow, set.TargetDelimiter), NameWinoGrande, WinoGrandeVersion, winograndeSize)
}
