package benchmark

import (
	"errors"

	"steer/eval"
	"steer/eval/metrics"
	"steer/internal/stats"
	"steer/rl/data"
	"steer/rl/run"
)

// rewardSummary is a benchmark of a reward model with what is on record of it.
func rewardSummary(r eval.Reward, name, protocol, version string, n int, set eval.Settings) *metrics.Summary {
	b := metrics.New(name, protocol, r.Name, version, n, set)
	if r.Form != "" {
		b.Provenance.Set("reward_form", r.Form)
	}
	return b
}

// newExchange is an exchange in both forms: a user's message and an assistant's answer, and the
// same as one text.
func newExchange(user, answer, plainPrompt, plainAnswer string) eval.Exchange {
	return eval.Exchange{
		PromptText: plainPrompt, ResponseText: plainAnswer,
		Turns: []data.Message{{Role: data.RoleUser, Content: user}, {Role: data.RoleAssistant, Content: answer}},
	}
}

// statement is a text put before a reward model as something an assistant said of its
// own accord.
func statement(text string) eval.Exchange { return newExchange("What do you think?", text, "", text) }

// preference is the record of a choice between two scores, the higher one winning.
func preference(scores []float64, cut []int) run.Item {
	r := run.Item{Scores: append([]float64{}, scores...), Cut: max(cut[0], cut[1])}
	switch {
	case scores[0] == scores[1]:
		r.Pred, r.Tie = run.NoPrediction, true
	case scores[1] > scores[0]:
		r.Pred = 1
	}
	return r
}

// chooseThreshold is the threshold of the highest MCC on the given rows. Rows of one class
// (a few rows of a quick look) give no threshold: it is 0 then, of 0 rows, which the result
// flags.
func chooseThreshold(gold []int, scores []float64) (stats.Threshold, error) {
	tau, err := stats.BestThreshold(gold, scores)
	if errors.Is(err, stats.ErrOneClass) {
		return stats.Threshold{}, nil
	}
	return tau, err
}
