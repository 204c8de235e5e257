package benchmark

import (
	"context"
	"fmt"
	"strings"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/eval/task"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/internal/stats"
	"steer/rl/run"
)

// taskBatch is the number of prompts of a task that are generated from at once.
const taskBatch = 16

// generateTask is output_type generate_until: greedy generation up to the first of the
// ends or max_gen_toks tokens, the filters, and exact match with one of the targets. A
// prompt that leaves no room is cut from the left, as the harness does.
func generateTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item, prompts *taskChats,
) (*metrics.Summary, []run.Item, error) {
	records, unfinished, err := answerTask(ctx, s, set, t, items, prompts)
	if err != nil {
		return nil, nil, err
	}
	b := metrics.New(t.Name, eval.ProtocolGenerate, s.Name, taskVersion(t), len(records), set)
	if err := addMatches(b, t, items, records); err != nil {
		return nil, nil, err
	}
	describeAnswers(b, t, records, unfinished)
	return b, records, nil
}

// describeAnswers writes down how answers were bounded, and counts those without an end and those
// without a text.
func describeAnswers(b *metrics.Summary, t *task.Task, records []run.Item, unfinished int) {
	empty := 0
	for _, r := range records {
		if strings.TrimSpace(r.Answer) == "" {
			empty++
		}
	}
	b.FlagCount("empty_answers", empty)
	b.FlagCount("unfinished", unfinished)
	b.Provenance.Set("max_gen_toks", t.Generation.MaxTokens)
	b.Provenance.Set("until", t.Generation.Until)
}

// answerTask generates an answer to every item; unfinished counts those that their length ended.
func answerTask(
	ctx context.Context, s eval.Subject, set eval.Settings, t *task.Task, items []task.Item, prompts *taskChats,
) (records []run.Item, unfinished int, err error) {
	if err := set.Validate(); err != nil {
		return nil, 0, err
	}
	if s.Generator == nil || s.Tokenizer == nil {
		return nil, 0, fmt.Errorf("model %q: generating needs a generator and a tokenizer", s.Name)
	}
	if set.MaxLength <= t.Generation.MaxTokens {
		return nil, 0, fmt.Errorf("generation_kwargs.max_gen_toks %d leaves no room for a prompt in max_length "+
			"%d: lower it", t.Generation.MaxTokens, set.MaxLength)
	}
	enc, err := query.NewEncoder(s.Tokenizer, set.BOS)
	if err != nil {
		return nil, 0, err
	}
	records = make([]run.Item, len(items))
	at := eval.Progress{Benchmark: t.Name, Protocol: eval.ProtocolGenerate, Model: s.Name, Total: len(items)}
	for start := 0; start < len(items); start += taskBatch {
		batch := items[start:min(start+taskBatch, len(items))]
		reqs := make([]lm.Request, len(batch))
		for k, it := range batch {
			r := &records[start+k]
			*r = run.Item{ID: it.ID, Row: it.Row, Gold: 1}
			if reqs[k], r.Cut, err = taskRequest(enc, s.Tokenizer, set, t, it, prompts.at(start+k)); err != nil {
				return nil, 0, fmt.Errorf("item %q: %w", it.ID, err)
			}
		}
		answers, err := s.Generator.Generate(ctx, reqs, lm.Sampling{})
		if err != nil {
			return nil, 0, fmt.Errorf("model %q: %w", s.Name, err)
		}
		if len(answers) != len(reqs) {
			return nil, 0, fmt.Errorf("model %q: generator gave %d answers to %d prompts",
				s.Name, len(answers), len(reqs))
		}
		for k, a := range answers {
			if a.Finish == lm.FinishLength {
				unfinished++
			}
			records[start+k].Answer = untilFirst(lm.Text(s.Tokenizer, a.Tokens), t.Generation.Until)
			at.Tokens += int64(len(reqs[k].Prompt) + len(a.Tokens))
		}
		at.Done = start + len(batch)
		set.Report(at)
	}
	return records, unfinished, nil
}

// taskRequest is the request of one prompt, and how many of its tokens were cut off. prompt is the
// rendered conversation, nil where the prompt is running text.
func taskRequest(
	enc *query.Encoder, tok lm.Tokenizer, set eval.Settings, t *task.Task, it task.Item, prompt *taskChat,
) (lm.Request, int, error) {
	var ids []int32
	var err error
	if prompt != nil {
		ids, err = enc.Prompt(prompt.segments)
	} else {
		ids, err = enc.Text(it.Contexts[0])
	}
	if err == nil && len(ids) == 0 {
		ids, _, err = enc.Pair("", "x") // BOS, or what stands for it
	}
	if err != nil {
		return lm.Request{}, 0, err
	}
	cut := max(0, len(ids)-(set.MaxLength-t.Generation.MaxTokens))
	r := lm.Request{Prompt: ids[cut:], MaxNew: t.Generation.MaxTokens, StopStrings: t.Generation.Until,
		Seed: seed.Derive(set.Seed, "eval.task")} // greedy: never drawn from
	if eos := tok.EOS(); eos >= 0 {
		r.StopTokens = []int32{eos}
	}
	if prompt != nil {
		if r.StopTokens, err = prompt.template.StopIDs(tok); err != nil {
			return lm.Request{}, 0, err
		}
	}
	return r, cut, nil
}

// untilFirst cuts an answer at the first of the ends.
func untilFirst(answer string, ends []string) string {
	for _, end := range ends {
		answer, _, _ = strings.Cut(answer, end)
	}
	return answer
}

// addMatches stores the exact match after every filter; the first one decides the
// records.
func addMatches(b *metrics.Summary, t *task.Task, items []task.Item, records []run.Item) error {
	cut := 0
	for f, filter := range t.Filters {
		right, each := 0, make([]float64, len(records))
		for i := range records {
			matches, err := matchesAny(t.Metrics[0], filter, records[i].Answer, items[i].Targets)
			if err != nil {
				return fmt.Errorf("item %q: %w", records[i].ID, err)
			}
			if matches {
				right++
				each[i] = 1
			}
			if f == 0 {
				records[i].Pred = int(each[i])
				if records[i].Cut > 0 {
					cut++
				}
			}
		}
		name := "exact_match"
		if f > 0 {
			name += "_" + filter.Name
		}
		b.AddShare(name, right, len(records))
		b.Set(name+"_stderr", stats.MeanOf(each).StdErr)
	}
	if len(t.Filters) > 1 {
		b.Provenance.Set("filter", t.Filters[0].Name)
	}
	b.FlagCount("truncated", cut)
	return nil
}

// matchesAny tells whether an answer, filtered, is one of the right ones.
func matchesAny(m task.Metric, filter task.Filter, answer string, targets []string) (bool, error) {
	answer, err := filter.Apply(answer)
	for _, target := range targets {
		if err != nil {
			break
		}
		var same bool
		if same, err = m.Matches(answer, target); same {
			return true, err
		}
	}
	return false, err
}
