package report

import (
	"strings"

	"steer/rl/run"
)

// PreferenceRow is a policy that was steered by preferences, measured by its trainer on held-out ones.
type PreferenceRow struct {
	Policy   string
	Run      string
	Loss     string // its name
	Accuracy Interval
	Margin   Interval
	Recipe   string
}

// Preferences are the policies that were steered by preferences and came to their end.
func (r *Report) Preferences() (rows []PreferenceRow) {
	for _, s := range r.stages(run.StageDPO) {
		if s.Result == nil || s.Result.Accuracy == nil {
			continue
		}
		row := PreferenceRow{Policy: s.label(), Run: s.Run, Loss: s.Result.LossType, Accuracy: *s.Result.Accuracy,
			Recipe: s.Result.Recipe}
		if m := s.Result.Margin; m != nil {
			row.Margin = *m
		}
		rows = append(rows, row)
	}
	return rows
}

// preferenceCharts draws what preference losses came to over time.
func (r *Report) preferenceCharts() {
	dpo := r.stages(run.StageDPO)
	r.overTime(dpo, Chart{ID: "dpo-accuracy", Section: "dpo", Title: "Preferences ordered right",
		YLabel: "share of pairs"}, []string{"rewards/accuracies"}, []string{"eval_rewards/accuracies"})
	r.overTime(dpo, Chart{ID: "dpo-margin", Section: "dpo", Title: "Margin of the implicit rewards",
		YLabel: "mean margin"}, []string{"rewards/margins"}, []string{"eval_rewards/margins"})
	r.overTime(dpo, Chart{ID: "dpo-chosen", Section: "dpo", Title: "Log-probability of the chosen answers",
		YLabel: "nats an answer"}, []string{"logps/chosen"}, []string{"eval_logps/chosen"})
	r.overTime(dpo, Chart{ID: "dpo-loss", Section: "dpo", Title: "Preference loss", YLabel: "loss"},
		[]string{"loss"}, []string{"eval_loss"})
}

// markdownPreferences writes what held-out preferences say of each policy.
func markdownPreferences(b *strings.Builder, r *Report) {
	var rows [][]string
	for _, p := range r.Preferences() {
		rows = append(rows, []string{strings.TrimSpace(p.Policy + " " + p.Run), p.Loss, p.Accuracy.text(),
			group(p.Accuracy.N), p.Margin.text(), p.Recipe})
	}
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Preferences\n\nHeld-out pairs whose chosen answer has the higher implicit reward, measured " +
		"by the trainer; Wilson 95 % intervals; chance is 0.5.\n")
	table(b, []string{"policy", "loss", "accuracy", "pairs", "margin", "recipe"}, rows)
}
