package benchmark

import (
	"context"
	"fmt"
	"math"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/eval/task"
	"steer/internal/pyfunc"
	"steer/rl/run"
)

// resultsTask measures a task whose own function process_results makes metrics of what the model
// answered to a row.
func resultsTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item, prompts *taskChats,
) (*metrics.Summary, []run.Item, error) {
	b := metrics.New(t.Name, eval.ProtocolLogLik, s.Name, taskVersion(t), len(items), set)
	var records []run.Item
	var err error
	answers := func(_ task.Filter, r run.Item) ([]any, error) { return likelihoodsOf(r), nil }
	switch t.Output {
	case task.GenerateUntil:
		b.Protocol = eval.ProtocolGenerate
		var unfinished int
		if records, unfinished, err = answerTask(ctx, s, set, t, items, prompts); err == nil {
			describeAnswers(b, t, records, unfinished)
		}
		answers = func(f task.Filter, r run.Item) ([]any, error) {
			text, err := f.Apply(r.Answer)
			return []any{text}, err
		}
	case task.Rolling:
		var facts map[string]any
		records, facts, err = scoreTexts(ctx, s, set, t, items)
		for name, v := range facts {
			b.Provenance.Set(name, v)
		}
		answers = func(_ task.Filter, r run.Item) ([]any, error) { return []any{r.LogProbs[0]}, nil }
	default:
		records, err = query.ScoreItems(ctx, s, set, TaskItems(t, items, prompts),
			eval.Progress{Benchmark: t.Name, Protocol: eval.ProtocolLogLik})
	}
	if err != nil {
		return nil, nil, err
	}
	cut := 0
	for i := range records { // what is right is the function's business
		records[i].Gold, records[i].Pred, records[i].PredNorm = run.NoPrediction, run.NoPrediction, nil
		if records[i].Cut > 0 {
			cut++
		}
	}
	b.FlagCount("truncated", cut)
	for f, filter := range t.Filters {
		suffix := ""
		if f > 0 {
			suffix = "_" + filter.Name
		}
		if err := addResults(b, t, items, records, suffix, func(r run.Item) ([]any, error) {
			return answers(filter, r)
		}); err != nil {
			return nil, nil, err
		}
	}
	return b, records, nil
}

// likelihoodsOf is what the harness hands over of the choices of an item.
func likelihoodsOf(r run.Item) []any {
	out := make([]any, len(r.LogProbs))
	for k := range r.LogProbs {
		out[k] = pyfunc.Tuple{r.LogProbs[k], r.Greedy[k]}
	}
	return out
}

// addResults stores the metrics that the function gives of all items.
func addResults(
	b *metrics.Summary, t *task.Task, items []task.Item, records []run.Item, suffix string,
	answers func(run.Item) ([]any, error),
) error {
	values := map[string][]any{}
	var names []string
	for i, r := range records {
		given, err := answers(r)
		if err != nil {
			return fmt.Errorf("item %q: %w", r.ID, err)
		}
		got, err := t.ResultsOf(items[i], given)
		if err != nil {
			return fmt.Errorf("item %q: %w", r.ID, err)
		}
		for name, v := range got.All() {
			if _, known := values[name]; !known {
				names = append(names, name)
			}
			values[name] = append(values[name], v)
		}
	}
	for _, name := range names {
		m, ok := t.MetricOf(name)
		if !ok {
			continue
		}
		if n := len(values[name]); n < len(records) {
			b.FlagCount("items_without_"+name, len(records)-n)
		}
		if err := addResult(b, m, name+suffix, values[name]); err != nil {
			return fmt.Errorf("metric %s: %w", name, err)
		}
	}
	return nil
}

// addResult stores one metric: a mean with its interval, others as the number they are.
func addResult(b *metrics.Summary, m task.Metric, name string, values []any) error {
	if !m.Aggregate.IsMean() {
		v, err := m.Aggregate.Of(values)
		b.Set(name, v)
		return err
	}
	numbers := make([]float64, len(values))
	mean, squares := 0.0, 0.0
	for i, v := range values {
		var err error
		if numbers[i], err = task.Number(v); err != nil {
			return err
		}
		mean += numbers[i] / float64(len(values))
	}
	for _, x := range numbers {
		squares += (x - mean) * (x - mean)
	}
	if n := float64(len(values)); n > 1 {
		b.Set(name+"_stderr", math.Sqrt(squares/(n-1)/n))
	}
	if math.IsNaN(mean) || len(values) < 2 {
		b.Set(name, mean)
		return nil
	}
	return b.AddMean(name, numbers)
}
