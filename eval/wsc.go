package eval

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"steer/rl/data"
)

// WSC273 is the Winograd Schema Challenge by partial evaluation (Trinh & Le 2018)
// as lm-evaluation-harness's task wsc273 does it: the pronoun is replaced by each
// option and the probability of what follows decides.

// NameWSC273 and WSC273Version identify the benchmark in results.
const (
	NameWSC273    = "wsc273"
	WSC273Version = "wsc273-harness-1"
	wsc273Size    = 273
)

// WSC273Items makes the items of the first 273 schemas (all, if there are fewer).
func WSC273Items(schemas []data.Schema, delimiter string) []Item {
	schemas = schemas[:min(len(schemas), wsc273Size)]
	items := make([]Item, len(schemas))
	for i, s := range schemas {
		items[i] = wscItem(i, s, delimiter)
	}
	return items
}

func wscItem(row int, s data.Schema, delimiter string) Item {
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
	it := Item{ID: fmt.Sprintf("wsc273-%d", row), Row: row, Gold: s.Correct}
	for _, option := range s.Answers {
		option = wscOption(option, s.Pron, runes, loc)
		it.Choices = append(it.Choices, Choice{Context: string(runes[:loc]) + option, Continuation: tail})
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
		words := strings.Split(option, " ")
		for i, w := range words {
			if w == first {
				words[i] = strings.ToLower(w)
			}
		}
		option = strings.Join(words, " ")
	}
	return option
}

func wsc273Benchmark(c *Config) []benchmark {
	b := describe(NameWSC273, ProtocolLogLik, "wsc273", &c.WSC273, data.ReadWSC,
		func(ctx context.Context, s Subject, schemas []data.Schema) (*Benchmark, []Record, error) {
			return WSC273(ctx, s, c.Settings, schemas)
		})
	b.check = func() error {
		if c.WSC273.First != 0 {
			return fmt.Errorf("eval: wsc273.first: the benchmark is the first 273 schemas, got first %d", c.WSC273.First)
		}
		return nil
	}
	return []benchmark{b}
}

// WSC273 runs the benchmark. Only accuracy is defined on it. Fewer than 273 schemas
// are measured too and flagged as partial.
func WSC273(ctx context.Context, s Subject, set Settings, schemas []data.Schema) (*Benchmark, []Record, error) {
	b, records, err := choiceBenchmark(ctx, s, set, WSC273Items(schemas, set.TargetDelimiter), NameWSC273, ProtocolLogLik, WSC273Version)
	if err == nil && len(records) < wsc273Size {
		b.flag("partial", len(records))
	}
	return b, records, err
}
