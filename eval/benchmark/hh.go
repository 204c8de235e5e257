package benchmark

import (
	"context"
	"fmt"
	"math"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/internal/stats"
	"steer/rl/data"
	"steer/rl/run"
)

// The name and the version of the prompt identify the benchmark in results.
const (
	nameHH    = "hh_rlhf"
	hhVersion = "hh-rlhf-1"
)

// calibrationBins is the number of bins between a forecast of 1/2 and of 1.
const calibrationBins = 10

func hhSpecs(set eval.Settings, f *File) []Spec {
	rows := datasetOf(f, func(path string) ([]data.HH, error) {
		rows, _, err := data.ReadHH(path)
		return rows, err
	})
	return []Spec{rewardSpec(nameHH, eval.ProtocolPaired, "hh_rlhf", set, rows, hhPairs)}
}

// hhPairs is the pair accuracy of a reward model on hh-rlhf dialogues: how often the
// dialogue that people preferred scores above the other. Ties count one half. Dialogues
// are put before the model in its own form, cut from the left where they are too long.
//
// Margins are score differences, chosen minus rejected. sigmoid(margin) is the
// probability that a Bradley-Terry model gives to people's choice; its calibration is
// read on the side it prefers.
func hhPairs(
	ctx context.Context, r eval.Reward, set eval.Settings, rows []data.HH, firstRow int,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: hh_rlhf: %w", err)
	}
	if err := set.Validate(); err != nil {
		return nil, nil, err
	}
	if len(rows) == 0 {
		return fail(eval.ErrNoItems)
	}
	exchanges := make([]eval.Exchange, 0, 2*len(rows))
	for _, h := range rows {
		exchanges = append(exchanges,
			eval.Exchange{PromptText: h.Prompt, ResponseText: h.ChosenAnswer, Turns: h.ChosenTurns},
			eval.Exchange{PromptText: h.Prompt, ResponseText: h.RejectedAnswer, Turns: h.RejectedTurns})
	}
	at := eval.Progress{Benchmark: nameHH, Protocol: eval.ProtocolPaired}
	scores, cut, err := query.RewardsAndCuts(ctx, r, set, at, exchanges)
	if err != nil {
		return fail(err)
	}
	records := make([]run.Item, len(rows))
	for i := range rows {
		// Choice 0 is the chosen dialogue, so gold is 0 throughout.
		records[i] = preference(scores[2*i:2*i+2], cut[2*i:2*i+2])
		records[i].ID, records[i].Row = fmt.Sprintf("hh-%d", firstRow+i), firstRow+i
	}
	b := rewardSummary(r, nameHH, eval.ProtocolPaired, hhVersion, len(rows), set)
	if err := addPreference(b, records); err != nil {
		return fail(err)
	}
	return b.Measurement, records, nil
}

// addPreference stores what pairs of scores say, the preferred side first.
func addPreference(b *metrics.Summary, records []run.Item) error {
	n := len(records)
	margin, loss, brier := make([]float64, n), make([]float64, n), make([]float64, n)
	sure, won := make([]float64, n), make([]float64, n)
	right, cut := 0, 0
	for i, r := range records {
		m := r.Scores[0] - r.Scores[1]
		p := stats.Sigmoid(m)
		margin[i], loss[i], brier[i] = m, -stats.LogSigmoid(m), (1-p)*(1-p)
		sure[i] = math.Max(p, 1-p)
		switch {
		case r.Tie:
			won[i] = 0.5
		case r.Pred == r.Gold:
			won[i] = 1
			right++
		}
		if r.Cut > 0 {
			cut++
		}
	}
	ties := metrics.Ties(records)
	b.AddAccuracyTies("acc", right, ties, n)
	b.Set("acc_stderr", stats.MeanOf(won).StdErr)
	b.Set("ties", float64(ties))
	b.FlagCount("ties", ties)
	if ties == n {
		b.Flag("degenerate")
	}
	b.FlagCount("truncated", cut)
	b.Set("margin_std", stats.MeanOf(margin).StdDev)
	var err error
	for _, m := range []struct {
		name   string
		values []float64
	}{{"margin", margin}, {"loss", loss}, {"brier", brier}} {
		if err = b.AddMean(m.name, m.values); err != nil {
			return err
		}
	}
	bins, ece, err := stats.Reliability(sure, won, 0.5, 1, calibrationBins)
	if err != nil {
		return err
	}
	b.Calibration = bins
	b.Set("ece", ece)
	return nil
}
