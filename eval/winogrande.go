package eval

import (
	"context"
	"fmt"

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

func winograndeSpecs(set Settings, f *File) []benchmark {
	return []benchmark{describe(NameWinoGrande, ProtocolLogLik, "winogrande", f, data.ReadWinoGrandeItems,
		func(ctx context.Context, s Subject, rows []data.Partial) (*Measurement, []Record, error) {
			return WinoGrande(ctx, s, set, rows, f.First)
		})}
}

// WinoGrandeItems makes the items.
func WinoGrandeItems(rows []data.Partial, firstRow int, delimiter string) []Item {
	items := make([]Item, len(rows))
	for i, r := range rows {
		it := Item{ID: fmt.Sprintf("%s-%d", NameWinoGrande, firstRow+i), Row: firstRow + i, Gold: r.Gold}
		for _, context := range r.Contexts {
			it.Choices = append(it.Choices, Choice{Context: context, Continuation: delimiter + r.Continuation})
		}
		items[i] = it
	}
	return items
}

// WinoGrande runs the benchmark. Only accuracy is defined on it; fewer items than the
// development set holds are flagged as partial.
func WinoGrande(ctx context.Context, s Subject, set Settings, rows []data.Partial, firstRow int) (*Measurement, []Record, error) {
	return partialBenchmark(ctx, s, set, WinoGrandeItems(rows, firstRow, set.TargetDelimiter), NameWinoGrande, WinoGrandeVersion, winograndeSize)
}
