package benchmark

import (
	"context"
	"fmt"
	"slices"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/rl/data"
	"steer/rl/run"
)

// scruplesReward measures a reward model as a classifier: a story is RIGHT if its
// score is at least tau. Adding a constant to a Bradley-Terry reward changes nothing
// in its training, so 0 is no threshold; tau maximises the MCC on other rows and is
// frozen before the measured rows are scored. Polarity is fixed: a higher score
// means RIGHT. The AUC needs no threshold.
//
// The rows of choose and measure must have no id in common.
func scruplesReward(
	ctx context.Context, r eval.Reward, set eval.Settings, choose, measure []data.Anecdote, firstRow int,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: scruples: reward threshold: %w", err)
	}
	if err := set.Validate(); err != nil {
		return nil, nil, err
	}
	if err := checkAnecdotes(measure); err != nil {
		return nil, nil, err
	}
	if err := checkThreshold(choose, measure); err != nil {
		return fail(err)
	}
	at := eval.Progress{Benchmark: nameScruples, Protocol: eval.ProtocolReward, Model: r.Name,
		Total: len(choose) + len(measure)}
	chooseScores, err := scoreInParts(ctx, r, set, &at, stories(choose))
	if err != nil {
		return fail(err)
	}
	tau, err := chooseThreshold(classes(choose), chooseScores)
	if err != nil {
		return fail(err)
	}
	scores, err := scoreInParts(ctx, r, set, &at, stories(measure))
	if err != nil {
		return fail(err)
	}

	records := make([]run.Item, len(measure))
	for i, a := range measure {
		records[i] = run.Item{ID: a.ID, Row: firstRow + i, Gold: scruplesGold(a), Score: &scores[i]}
		if scores[i] >= tau.Tau {
			records[i].Pred = 1
		}
	}
	b := metrics.New(nameScruples, eval.ProtocolReward, r.Name, scruplesRewardVersion, len(records), set)
	if tau.N > 0 {
		b.Flag("threshold_from_other_rows")
		b.Set("threshold_mcc", tau.MCC)
	} else {
		b.Flag("threshold_zero")
		b.Flag("threshold_one_class")
	}
	b.AddAccuracy(records)
	if err := b.AddBinary(metrics.PredictionsOf(records)); err != nil {
		return fail(err)
	}
	b.Set("coverage", 1)
	b.Set("threshold", tau.Tau)
	b.Provenance.Set("threshold_rows", tau.N)
	addCeiling(b, measure)
	return b.Measurement, records, nil
}

// checkThreshold refuses rows that a threshold cannot be chosen on.
func checkThreshold(choose, measure []data.Anecdote) error {
	if len(choose) == 0 {
		return fmt.Errorf("no rows to choose the threshold on: %w", eval.ErrNoItems)
	}
	measured := make(map[string]bool, len(measure))
	for _, a := range measure {
		measured[a.ID] = true
	}
	for _, a := range choose {
		if measured[a.ID] {
			return fmt.Errorf("id %q is both chosen and measured on: take the threshold from other rows", a.ID)
		}
	}
	return nil
}

// scoreAtOnce is the number of stories between two reports of progress.
const scoreAtOnce = 64

// scoreInParts scores exchanges and reports after every part.
func scoreInParts(
	ctx context.Context, r eval.Reward, set eval.Settings, at *eval.Progress, exchanges []eval.Exchange,
) ([]float64, error) {
	var all []float64
	for part := range slices.Chunk(exchanges, scoreAtOnce) {
		scores, err := query.Rewards(ctx, r, part)
		if err != nil {
			return nil, err
		}
		all = append(all, scores...)
		at.Done += len(part)
		set.Report(*at)
	}
	return all, nil
}

func classes(rows []data.Anecdote) []int {
	out := make([]int, len(rows))
	for i, a := range rows {
		out[i] = scruplesGold(a)
	}
	return out
}

func stories(rows []data.Anecdote) []eval.Exchange {
	out := make([]eval.Exchange, len(rows))
	for i, a := range rows {
		out[i] = eval.Exchange{ResponseText: scruplesStory(a)}
	}
	return out
}
