package benchmark

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/eval/task"
	"steer/internal/stats"
	"steer/rl/data"
	"steer/rl/run"
)

// UserTask measures a language model on a task of the user's own, as
// lm-evaluation-harness measures the same file: output_type multiple_choice and
// loglikelihood by log-likelihood, generate_until by greedy generation.
func UserTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, how TaskPrompts, tpl *data.Template,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: task %s: %w", t.Name, err)
	}
	set.TargetDelimiter = t.Delimiter(set.TargetDelimiter)
	items, err := t.Items(how.asking(set))
	if err != nil {
		return fail(err)
	}
	set.TargetDelimiter = items[0].Delimiter
	prompts, err := how.render(t, tpl, items)
	if err != nil {
		return fail(err)
	}
	var b *metrics.Summary
	var records []run.Item
	switch {
	case t.Results != nil:
		b, records, err = resultsTask(ctx, s, set, t, items, prompts)
	case t.Output == task.GenerateUntil:
		b, records, err = generateTask(ctx, s, set, t, items, prompts)
	case t.Output == task.LogLikelihood:
		b, records, err = likelihoodTask(ctx, s, set, t, items, prompts)
	case t.Output == task.Rolling:
		b, records, err = rollingTask(ctx, s, set, t, items)
	default:
		b, records, err = choiceTask(ctx, s, set, t, items, prompts)
	}
	if err != nil {
		return fail(err)
	}
	if t.Output != task.Rolling {
		how.describe(b, prompts)
	}
	return b.Measurement, records, addTask(b, t, s)
}

// taskVersion changes with every character of the task file.
func taskVersion(t *task.Task) string { return t.Name + "@" + t.SHA256[:12] }

// addTask writes down where the task came from.
func addTask(b *metrics.Summary, t *task.Task, s eval.Subject) error {
	path, sum, err := FileSHA256(t.Data)
	if err != nil {
		return err
	}
	for k, v := range map[string]any{
		"task": t.Path, "task_sha256": t.SHA256, "output_type": string(t.Output),
		"data": path, "data_sha256": sum, "first": t.First, "limit": t.Limit, "num_fewshot": t.NumFewshot,
	} {
		b.Provenance.Set(k, v)
	}
	if t.Alias != "" {
		b.Provenance.Set("task_alias", t.Alias)
	}
	if len(t.Ignored) > 0 {
		b.Provenance.Set("ignored_keys", strings.Join(t.Ignored, " "))
	}
	if len(t.Notes) > 0 {
		b.Provenance.Set("notes", strings.Join(t.Notes, "; "))
	}
	return addEncoding(b, s)
}

// TaskItems makes the items of a task that is scored by log-likelihood. prompts are its rendered
// conversations, nil without.
func TaskItems(t *task.Task, items []task.Item, prompts *taskChats) []query.Item {
	out := make([]query.Item, len(items))
	for i, it := range items {
		x := query.Item{ID: it.ID, Row: it.Row, Gold: it.Gold}
		add := func(context int, continuation, text string) {
			c := query.Choice{Context: it.Contexts[context], Continuation: continuation, Text: text}
			if prompts != nil {
				c.Chat = prompts.of[i][context]
			}
			x.Choices = append(x.Choices, c)
		}
		switch {
		case t.Output == task.LogLikelihood: // the target stands as it is written, no delimiter
			add(0, it.Continuations[0], it.Continuations[0])
		case len(it.Contexts) > 1:
			for k := range it.Contexts {
				add(k, it.Delimiter+it.Continuations[0], it.Choices[k])
			}
		default:
			for _, c := range it.Choices {
				add(0, it.Delimiter+c, c)
			}
		}
		out[i] = x
	}
	return out
}

// choiceTask is output_type multiple_choice.
func choiceTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item, prompts *taskChats,
) (*metrics.Summary, []run.Item, error) {
	asked := TaskItems(t, items, prompts)
	records, err := query.Choose(ctx, s, set, asked, eval.Progress{Benchmark: t.Name, Protocol: eval.ProtocolLogLik})
	if err != nil {
		return nil, nil, err
	}
	b := metrics.New(t.Name, eval.ProtocolLogLik, s.Name, taskVersion(t), len(records), set)
	b.AddAccuracy(records)
	if t.Wants("acc_norm") {
		b.AddAccuracyNorm(records)
	}
	greedy, bytes := 0, 0
	gold, pred, most := make([]int, len(records)), make([]int, len(records)), 0
	for i, r := range records {
		gold[i], pred[i], most = r.Gold, r.Pred, max(most, len(r.LogProbs))
		if r.Greedy[r.Gold] {
			greedy++
		}
		if predBytes(asked[i], r) == r.Gold {
			bytes++
		}
	}
	if t.Wants("exact_match") {
		b.AddShare("exact_match", greedy, len(records))
	}
	if t.Wants("acc_bytes") {
		b.AddShare("acc_bytes", bytes, len(records))
	}
	classes := slices.ContainsFunc([]string{"mcc", "f1", "macro_f1", "balanced_acc", "kappa"}, t.Wants)
	switch fixed := t.Fixed(); {
	case fixed == nil && !classes:
		// Choices differ from row to row: their places are no classes. What always taking
		// the same place would reach is worth knowing all the same.
		b.Set("majority_acc", float64(metrics.MostFrequent(gold))/float64(len(gold)))
		return b, records, nil
	case most == 2:
		return b, records, b.AddBinary(metrics.PredictionsOf(records))
	case t.Wants("f1"):
		return nil, nil, fmt.Errorf("metric_list: f1 is defined for two choices, these are %d: want macro_f1", most)
	}
	return b, records, b.AddClasses(gold, pred)
}

// predBytes is the prediction by log-likelihood per byte of the choice.
func predBytes(it query.Item, r run.Item) int {
	best, pred := math.Inf(-1), 0
	for k, c := range it.Choices {
		if v := r.LogProbs[k] / float64(len(c.Text)); v > best {
			best, pred = v, k
		}
	}
	return pred
}

// likelihoodTask is output_type loglikelihood: perplexity is exp of minus the mean
// log-likelihood of a target (of whole targets, not of tokens), acc the share of targets
// all of whose tokens were the likeliest.
func likelihoodTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item, prompts *taskChats,
) (*metrics.Summary, []run.Item, error) {
	records, err := query.ScoreItems(ctx, s, set, TaskItems(t, items, prompts),
		eval.Progress{Benchmark: t.Name, Protocol: eval.ProtocolLogLik})
	if err != nil {
		return nil, nil, err
	}
	logp, characters := make([]float64, len(records)), 0
	for i := range records {
		r := &records[i]
		logp[i] = r.LogProbs[0]
		characters += utf8.RuneCountInString(items[i].Targets[0])
		r.PredNorm = nil
		r.Gold, r.Pred = 1, 0 // 1: given by greedy generation
		if r.Greedy[0] {
			r.Pred = 1
		}
	}
	b := metrics.New(t.Name, eval.ProtocolLogLik, s.Name, taskVersion(t), len(records), set)
	b.AddAccuracy(records)
	mean := stats.MeanOf(logp)
	b.Set("perplexity", math.Exp(-mean.Mean))
	b.Set("logprob", mean.Mean)
	b.Set("logprob_stderr", mean.StdErr)
	if v := mean.Interval(set.Confidence); len(logp) > 1 {
		b.SetInterval("logprob", v.Lo, v.Hi)
		b.SetInterval("perplexity", math.Exp(-v.Hi), math.Exp(-v.Lo))
	}
	b.Set("logprob_per_character", mean.Mean*float64(len(logp))/float64(max(1, characters)))
	return b, records, nil
}
