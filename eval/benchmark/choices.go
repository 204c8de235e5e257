package benchmark

import (
	"context"
	"fmt"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/rl/run"
)

// summarizeChoices runs items and summarises their accuracy.
func summarizeChoices(
	ctx context.Context, s eval.Subject, set eval.Settings, items []query.Item, name, protocol, version string,
) (*metrics.Summary, []run.Item, error) {
	records, err := query.Choose(ctx, s, set, items, eval.Progress{Benchmark: name, Protocol: protocol})
	if err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	b := metrics.New(name, protocol, s.Name, version, len(records), set)
	if err := addEncoding(b, s); err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	b.AddAccuracy(records)
	return b, records, nil
}

// addEncoding writes down the options that change token ids.
func addEncoding(b *metrics.Summary, s eval.Subject) error {
	enc, err := query.NewEncoder(s.Tokenizer, b.Settings.BOS)
	if err != nil {
		return err
	}
	b.Provenance.Set("bos", enc.BOS())
	b.Provenance.Set("target_delimiter", b.Settings.TargetDelimiter)
	b.Provenance.Set("max_length", b.Settings.MaxLength)
	return nil
}

// binaryChoice runs a two-choice task and adds the measures that an accuracy alone
// hides.
func binaryChoice(
	ctx context.Context, s eval.Subject, set eval.Settings, items []query.Item, name, version string,
) (*metrics.Summary, []run.Item, error) {
	b, records, err := summarizeChoices(ctx, s, set, items, name, eval.ProtocolLogLik, version)
	if err != nil {
		return nil, nil, err
	}
	if err := b.AddBinary(metrics.PredictionsOf(records)); err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	return b, records, nil
}
