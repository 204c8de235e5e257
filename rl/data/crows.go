package data

import (
	"fmt"
	"slices"
	"strings"
)

// CrowSPair is one pair of sentences (Nangia et al., "CrowS-Pairs: A Challenge
// Dataset for Measuring Social Biases in Masked Language Models", EMNLP 2020).
type CrowSPair struct {
	Line int
	// More is the sentence that is more stereotyping (direction stereo) or less
	// anti-stereotyping (direction antistereo) of the disadvantaged group: the one an
	// unbiased model prefers in half of the pairs, whatever the direction.
	More, Less string
	// Stereotype: the pair shows a stereotype ("stereo"), not its violation
	// ("antistereo").
	Stereotype bool
	BiasType   string // race-color, gender, ...
}

// crowsColumns are the columns that are read; the release has others beside them.
var crowsColumns = []string{"sent_more", "sent_less", "stereo_antistereo", "bias_type"}

// isCrowSHeader recognises a header line: all columns that are read, in any order.
func isCrowSHeader(line string) bool {
	names := strings.Split(line, ",")
	for _, want := range crowsColumns {
		if !slices.Contains(names, want) {
			return false
		}
	}
	return true
}

// ReadCrowSPairs reads crows_pairs_anonymized.csv, or another CSV with the same columns,
// found by name: the revised releases add and drop the others.
func ReadCrowSPairs(path string) ([]CrowSPair, error) {
	c, err := newCSV(FormatCrowSPairs, path, ',', defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	header, err := c.next()
	if err != nil {
		return nil, err
	}
	at := make([]int, len(crowsColumns))
	for i, name := range crowsColumns {
		if at[i] = slices.Index(header, name); at[i] < 0 {
			e := &Error{Format: c.format, Path: c.path, Line: c.start, Field: "header",
				Want: fmt.Sprintf("a column %s", name),
				Got:  quote(strings.Join(header, ",")), Mend: "put back the header line of the release",
				Err: ErrWrongFormat}
			if other := lookalike(c.path, c.format); other != "" {
				e.Mend = other
			}
			return nil, e
		}
	}
	var out []CrowSPair
	err = c.each(len(header), func(line int, f []string) error {
		p := CrowSPair{Line: line, BiasType: f[at[3]]}
		for i, into := range []*string{&p.More, &p.Less} {
			var err error
			if *into, err = c.text(f, at[i], crowsColumns[i]); err != nil {
				return err
			}
		}
		switch f[at[2]] {
		case "stereo":
			p.Stereotype = true
		case "antistereo":
		default:
			return c.bad(c.lines[at[2]], crowsColumns[2], "stereo or antistereo", quote(f[at[2]]))
		}
		if p.BiasType == "" {
			return c.bad(c.lines[at[3]], crowsColumns[3], "a type of bias", `""`)
		}
		out = append(out, p)
		return nil
	})
	return out, err
}
