package report

import (
	"fmt"
	"strings"

	"steer/rl/run"
)

// Judging is what a model's judgements by a constitution came to; see [run.Judging].
type Judging struct {
	Constitution string    `json:"constitution"`
	Pairs        int       `json:"pairs"`
	Kept         int       `json:"kept"`
	Agreement    *Interval `json:"agreement,omitempty"` // with labels
	Inconsistent Interval  `json:"inconsistent"`
	FirstPlace   Interval  `json:"first_place"` // mean probability of A
	Letters      Interval  `json:"letters"`
	Contests     []Contest `json:"contests,omitempty"`
}

// Contest is how often one policy's answers are preferred to another's.
type Contest struct {
	First  string   `json:"first"`
	Second string   `json:"second"`
	Wins   Interval `json:"wins"`
}

func judgingOf(j *run.Judge) *Judging {
	out := &Judging{Constitution: j.Constitution, Pairs: j.Pairs, Kept: j.Kept,
		Inconsistent: intervalOf(j.Position.Inconsistent), FirstPlace: intervalOf(j.Position.FirstPlace),
		Letters: intervalOf(j.Letters)}
	if j.Judging.Agreement != nil {
		a := intervalOf(j.Judging.Agreement.Share)
		out.Agreement = &a
	}
	for _, c := range j.Contests {
		out.Contests = append(out.Contests, Contest{c.First, c.Second, intervalOf(c.Wins)})
	}
	return out
}

// JudgeRow is a judge, and what it came to.
type JudgeRow struct {
	Name, Run string
	*Judging
}

// Judges are the models that compared answers and came to their end.
func (r *Report) Judges() (rows []JudgeRow) {
	for _, s := range r.stages(run.StageJudge) {
		if s.Result != nil && s.Result.Judging != nil {
			rows = append(rows, JudgeRow{Name: s.Name, Run: s.Run, Judging: s.Result.Judging})
		}
	}
	return rows
}

// markdownJudges writes how far each judge can be trusted, and which policies it prefers.
func markdownJudges(b *strings.Builder, r *Report) {
	judges := r.Judges()
	if len(judges) == 0 {
		return
	}
	b.WriteString("\n## Judgements\n\nPairs that a model compared under a text, in both orders. Agreement is with " +
		"the labels, where there are some (chance is 0.5, Wilson 95 % intervals); the orders disagree where the " +
		"place decides; without a bias the first place has 0.5.\n")
	var rows, wins [][]string
	for _, j := range judges {
		name, agreement := escapeMD(strings.TrimSpace(j.Name+" "+j.Run)), "–"
		if j.Agreement != nil {
			agreement = j.Agreement.text()
		}
		rows = append(rows, []string{name, escapeMD(j.Constitution), group(j.Pairs), group(j.Kept), agreement,
			j.Inconsistent.text(), j.FirstPlace.text(), j.Letters.text()})
		for _, c := range j.Contests {
			wins = append(wins, []string{name, escapeMD(c.First), escapeMD(c.Second), c.Wins.text(), group(c.Wins.N)})
		}
	}
	table(b, []string{"judge", "text", "pairs", "preferences", "agreement", "orders disagree", "first place", "A or B"},
		rows)
	if len(wins) > 0 {
		b.WriteString("\nHow often the answers of one policy are preferred to those of another:\n")
		table(b, []string{"judge", "of", "to", "share", "pairs"}, wins)
	}
}

// textJudges writes the same for a terminal.
func textJudges(b *strings.Builder, r *Report) {
	for i, j := range r.Judges() {
		if i == 0 {
			b.WriteString("\nJudgements\n")
		}
		line := fmt.Sprintf("%s, by %s: %s of %s pairs became preferences; the orders disagree in %s; the first place "+
			"has %s", visible(strings.TrimSpace(j.Name+" "+j.Run)), visible(j.Constitution), group(j.Kept),
			group(j.Pairs), j.Inconsistent.text(), j.FirstPlace.text())
		if j.Agreement != nil {
			line += fmt.Sprintf("; agrees with the labels in %s", j.Agreement.text())
		}
		wrap(b, line, "  ")
		for _, c := range j.Contests {
			wrap(b, fmt.Sprintf("%s is preferred to %s in %s of %s pairs", visible(c.First), visible(c.Second),
				c.Wins.text(), group(c.Wins.N)), "  ")
		}
	}
}
