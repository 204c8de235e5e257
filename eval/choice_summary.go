package eval

import (
	"context"
	"fmt"
)

// choiceBenchmark runs items and summarises their accuracy.
func choiceBenchmark(ctx context.Context, s Subject, set Settings, items []Item, name, protocol, version string) (*Summary, []Record, error) {
	records, err := Choose(ctx, s, set, items, Progress{Benchmark: name, Protocol: protocol})
	if err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	b := NewSummary(name, protocol, s.Name, version, len(records), set)
	if err := addEncoding(b, s); err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	b.AddAccuracy(records)
	return b, records, nil
}

// addEncoding writes down the options that change token ids.
func addEncoding(b *Summary, s Subject) error {
	enc, err := NewEncoder(s.Tokenizer, b.Settings.BOS)
	if err != nil {
		return err
	}
	b.Provenance["bos"] = enc.BOS()
	b.Provenance["target_delimiter"] = b.Settings.TargetDelimiter
	b.Provenance["max_length"] = b.Settings.MaxLength
	return nil
}

// binaryChoice runs a two-choice task and adds the measures that an accuracy alone
// hides.
func binaryChoice(ctx context.Context, s Subject, set Settings, items []Item, name, version string) (*Summary, []Record, error) {
	b, records, err := choiceBenchmark(ctx, s, set, items, name, ProtocolLogLik, version)
	if err != nil {
		return nil, nil, err
	}
	if err := b.AddBinary(PredictionsOf(records)); err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	return b, records, nil
}
