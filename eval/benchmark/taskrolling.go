package benchmark

import (
	"context"
	"errors"
	"fmt"
	"math"
	"unicode"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/eval/task"
	"steer/internal/pystr"
	"steer/internal/stats"
	"steer/rl/run"
)

// rollingTask is output_type loglikelihood_rolling: the log-likelihood of every row's text as a
// whole, in windows of max_length tokens.
func rollingTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item,
) (*metrics.Summary, []run.Item, error) {
	records, facts, err := scoreTexts(ctx, s, set, t, items)
	if err != nil {
		return nil, nil, err
	}
	b := metrics.New(t.Name, eval.ProtocolLogLik, s.Name, taskVersion(t), len(records), set)
	for name, v := range facts {
		b.Provenance.Set(name, v)
	}
	return b, records, addRolling(b, t, items, records)
}

// scoreTexts gives the log-likelihoods of whole texts, and how they were laid out.
func scoreTexts(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item,
) ([]run.Item, map[string]any, error) {
	if err := set.Validate(); err != nil {
		return nil, nil, err
	}
	if s.Evaluator == nil || s.Tokenizer == nil {
		return nil, nil, errors.New("log-likelihoods need an evaluator and a tokenizer")
	}
	enc, err := query.NewEncoder(s.Tokenizer, set.BOS)
	if err != nil {
		return nil, nil, err
	}
	var reqs []query.Request
	records := make([]run.Item, len(items))
	for i, it := range items {
		windows, err := enc.Rolling(it.Targets[0], set.MaxLength, i)
		if err != nil {
			return nil, nil, fmt.Errorf("item %q: %w", it.ID, err)
		}
		records[i] = run.Item{ID: it.ID, Row: it.Row, Gold: run.NoPrediction, Pred: run.NoPrediction,
			LogProbs: []float64{0}}
		for _, w := range windows {
			records[i].Tokens += len(w.Continuation)
		}
		reqs = append(reqs, windows...)
	}
	at := eval.Progress{Benchmark: t.Name, Protocol: eval.ProtocolLogLik, Model: s.Name, Total: len(reqs)}
	liks, err := query.Likelihoods(ctx, s.Evaluator, reqs, set.MaxLength, set.BatchTokens,
		func(done int, tokens int64) {
			at.Done, at.Tokens = done, tokens
			set.Report(at)
		})
	if err != nil {
		return nil, nil, fmt.Errorf("model %q: %w", s.Name, err)
	}
	for k, l := range liks {
		records[reqs[k].Group].LogProbs[0] += l.LogProb
	}
	return records, map[string]any{"first_token_from": enc.Prefix, "windows": len(reqs)}, nil
}

// rollingUnits are the metrics of whole texts: of the sum of log-likelihoods, nats, over the number
// of words or bytes.
var rollingUnits = []struct {
	name  string
	words bool
	of    func(mean float64) float64
}{
	{"word_perplexity", true, func(x float64) float64 { return math.Exp(-x) }},
	{"byte_perplexity", false, func(x float64) float64 { return math.Exp(-x) }},
	{"bits_per_byte", false, func(x float64) float64 { return -x / math.Ln2 }},
}

// addRolling stores the perplexities, with intervals of a bootstrap over the texts.
func addRolling(b *metrics.Summary, t *task.Task, items []task.Item, records []run.Item) error {
	words, bytes := make([]float64, len(items)), make([]float64, len(items))
	tokens, allBytes, allWords := 0, 0.0, 0.0
	for i, it := range items {
		words[i], bytes[i] = float64(countWords(it.Targets[0])), float64(len(it.Targets[0]))
		tokens += records[i].Tokens
		allWords += words[i]
		allBytes += bytes[i]
	}
	if tokens == 0 {
		return fmt.Errorf("all texts are empty: %w", eval.ErrNoItems)
	}
	b.Set("tokens", float64(tokens))
	b.Set("bytes", allBytes)
	b.Set("words", allWords)
	all := make([]int32, len(records))
	for i := range all {
		all[i] = int32(i)
	}
	for _, u := range rollingUnits {
		if !t.Wants(u.name) {
			continue
		}
		sizes := bytes
		if u.words {
			sizes = words
		}
		value := func(chosen []int32) (float64, bool) {
			sum, n := 0.0, 0.0
			for _, i := range chosen {
				sum += records[i].LogProbs[0]
				n += sizes[i]
			}
			return u.of(sum / n), n == 0
		}
		v, _ := value(all)
		b.Set(u.name, v)
		if len(records) < 2 {
			continue // one text has no spread
		}
		src, err := b.Resamples(len(records))
		if err != nil {
			return err
		}
		boot, err := stats.BootstrapFunc(src, b.Settings.Resamples,
			func() func([]int32) (float64, bool) { return value })
		if err != nil {
			return err
		}
		interval, _ := boot.BCa(b.Settings.Confidence)
		b.SetInterval(u.name, interval.Lo, interval.Hi)
	}
	return nil
}

// countWords is Python's len(re.split(r"\s+", text)): runs of white space, and one more.
func countWords(text string) int {
	n, in := 1, false
	for _, r := range text {
		space := pystr.IsSpace(r) || unicode.IsSpace(r)
		if space && !in {
			n++
		}
		in = space
	}
	return n
}
