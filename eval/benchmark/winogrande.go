package benchmark

import (
	"context"
	"fmt"

	"steer/eval"
	"steer/eval/query"
	"steer/rl/data"
	"steer/rl/run"
)

// WinoGrande by partial evaluation, as lm-evaluation-harness's task winogrande does it:
// each option in place of the blank, and the probability of what follows decides.

// The name and the version of the prompt identify the benchmark in results.
const (
	nameWinoGrande    = "winogrande"
	winograndeVersion = "winogrande-harness-1"
	winograndeSize    = 1267 // rows of dev.jsonl
)

func winograndeSpecs(set eval.Settings, f *File) []Spec {
	rows := datasetOf(f, data.ReadWinoGrandeItems)
	return []Spec{languageSpec(nameWinoGrande, eval.ProtocolLogLik, "winogrande", set, rows, winogrande)}
}

// winograndeItems makes the items.
func winograndeItems(rows []data.Partial, firstRow int, delimiter string) []query.Item {
	items := make([]query.Item, len(rows))
	for i, r := range rows {
		it := query.Item{ID: fmt.Sprintf("%s-%d", nameWinoGrande, firstRow+i), Row: firstRow + i, Gold: r.Gold}
		for _, context := range r.Contexts {
			it.Choices = append(it.Choices, query.Choice{Context: context, Continuation: delimiter + r.Continuation})
		}
		items[i] = it
	}
	return items
}

// winogrande runs the benchmark. Only accuracy is defined on it; fewer items than the
// development set holds are flagged as partial.
func winogrande(
	ctx context.Context, s eval.Subject, set eval.Settings, rows []data.Partial, firstRow int,
) (*run.Measurement, []run.Item, error) {
	return partialBenchmark(ctx, s, set, winograndeItems(rows, firstRow, set.TargetDelimiter), nameWinoGrande,
		winograndeVersion, winograndeSize)
}
