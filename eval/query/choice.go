package query

import (
	"context"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"steer/eval"
	"steer/rl/data"
	"steer/rl/run"
)

// Choice is one answer to an item. Partial evaluation (Winograd) varies the
// context, all other tasks the continuation.
type Choice struct {
	Context      string
	Continuation string // with the target delimiter
	// Text is the choice without delimiter; its length in characters is what
	// acc_norm divides by.
	Text string
	// Chat is a rendered conversation in the place of Context.
	Chat []data.Segment
}

// Item is one question of a multiple-choice task.
type Item struct {
	ID      string // unique within the benchmark
	Row     int    // 0-based data row of the source file
	Choices []Choice
	Gold    int // index into Choices
}

// NewItem is an item whose choices follow one context.
func NewItem(id string, row int, context, delimiter string, gold int, choices ...string) Item {
	it := Item{ID: id, Row: row, Gold: gold}
	for _, c := range choices {
		it.Choices = append(it.Choices, Choice{Context: context, Continuation: delimiter + c, Text: c})
	}
	return it
}

// checkItems refuses what could not be measured or paired.
func checkItems(items []Item) error {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.ID
		if len(it.Choices) < 2 {
			return fmt.Errorf("item %q (row %d): %d choices, want at least two", it.ID, it.Row, len(it.Choices))
		}
		if it.Gold < 0 || it.Gold >= len(it.Choices) {
			return fmt.Errorf("item %q (row %d): gold %d of %d choices: %w",
				it.ID, it.Row, it.Gold, len(it.Choices), eval.ErrLabel)
		}
	}
	return CheckIDs(ids)
}

// CheckIDs refuses an empty list and ids that occur twice, as records could not be paired by them.
func CheckIDs(ids []string) error {
	if len(ids) == 0 {
		return eval.ErrNoItems
	}
	first := make(map[string]int, len(ids))
	for i, id := range ids {
		if j, seen := first[id]; seen {
			return fmt.Errorf("items %d and %d: id %q: %w", j, i, id, eval.ErrDuplicateID)
		}
		first[id] = i
	}
	return nil
}

// Choose scores the choices of every item by log-likelihood, the way
// lm-evaluation-harness scores output_type multiple_choice: the prediction is the
// first choice of the highest summed log-probability, the normalised prediction
// that of the highest sum divided by the characters of the choice.
func Choose(
	ctx context.Context, s eval.Subject, set eval.Settings, items []Item, at eval.Progress,
) ([]run.Item, error) {
	if err := checkItems(items); err != nil {
		return nil, err
	}
	return ScoreItems(ctx, s, set, items, at)
}

// ScoreItems gives the log-likelihoods of the choices of every item, of which there may be
// one.
func ScoreItems(
	ctx context.Context, s eval.Subject, set eval.Settings, items []Item, at eval.Progress,
) ([]run.Item, error) {
	if err := set.Validate(); err != nil {
		return nil, err
	}
	if s.Evaluator == nil || s.Tokenizer == nil {
		return nil, fmt.Errorf("model %q: log-likelihoods need an evaluator and a tokenizer", s.Name)
	}
	enc, err := NewEncoder(s.Tokenizer, set.BOS)
	if err != nil {
		return nil, err
	}
	reqs, err := enc.requests(items)
	if err != nil {
		return nil, err
	}
	at.Model, at.Total = s.Name, len(reqs)
	liks, err := Likelihoods(ctx, s.Evaluator, reqs, set.MaxLength, set.BatchTokens, func(requests int, tokens int64) {
		at.Done, at.Tokens = requests, tokens
		set.Report(at)
	})
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", s.Name, err)
	}
	records := make([]run.Item, len(items))
	for i, it := range items {
		records[i] = Decide(it, liks[:len(it.Choices)])
		liks = liks[len(it.Choices):]
	}
	return records, nil
}

// requests encodes the choices of every item, in their order; the choices of one are a group.
func (e *Encoder) requests(items []Item) ([]Request, error) {
	of := make([][]Request, len(items))
	err := inParallel(len(items), func(i int) error {
		it := items[i]
		for _, c := range it.Choices {
			pair := func() ([]int32, []int32, error) { return e.Pair(c.Context, c.Continuation) }
			if c.Chat != nil {
				pair = func() ([]int32, []int32, error) { return e.PromptPair(c.Chat, c.Continuation) }
			}
			context, continuation, err := pair()
			if err != nil {
				return fmt.Errorf("item %q (row %d): %w", it.ID, it.Row, err)
			}
			of[i] = append(of[i], Request{Context: context, Continuation: continuation, Group: i})
		}
		return nil
	})
	return slices.Concat(of...), err
}

// Decide is the record of an item by the log-likelihoods of its choices, [choice].
func Decide(it Item, liks []Likelihood) run.Item {
	r := run.Item{ID: it.ID, Row: it.Row, Gold: it.Gold}
	best, bestNorm := math.Inf(-1), math.Inf(-1)
	norm := 0
	for k, l := range liks {
		r.LogProbs = append(r.LogProbs, l.LogProb)
		r.Greedy = append(r.Greedy, l.Greedy)
		r.Cut = max(r.Cut, l.Cut)
		if l.LogProb > best {
			best, r.Pred = l.LogProb, k
		}
		if n := utf8.RuneCountInString(it.Choices[k].Text); n > 0 {
			if v := l.LogProb / float64(n); v > bestNorm {
				bestNorm, norm = v, k
			}
		}
	}
	if !math.IsInf(bestNorm, -1) {
		r.PredNorm = &norm
	}
	return r
}
