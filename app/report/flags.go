package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// smallShare of dropped or truncated rows is worth a note only.
const smallShare = 0.02

// fillFlags says in plain words what a reader has to know before trusting a number.
func (r *Report) fillFlags() {
	for _, name := range r.Missing {
		r.flag(Failure, name, "was not found: what depends on it is left out.")
	}
	for i := range r.Stages {
		r.flagStage(&r.Stages[i])
	}
	r.flagAccuracies()
	r.flagBenchmarks()
	r.flagConsistency()
}

func (r *Report) flagSingleRun() {
	if r.Matrix != nil {
		r.flag(Note, "eval", "One training run stands behind each policy: intervals and tests cover the choice of "+
			"prompts and items, not the luck of training.")
	}
}

// sortFlags puts failures first.
func (r *Report) sortFlags() {
	rank := map[Severity]int{Failure: 0, Caution: 1, Note: 2}
	slices.SortStableFunc(r.Flags, func(a, b Flag) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
}

// ofOneStage are words that a sentence on a single stage begins with.
var ofOneStage = map[string]bool{"was": true, "has": true, "Its": true}

// toldOnce joins flags that say the same of several stages of the same runs.
func toldOnce(flags []Flag) []Flag {
	type key struct {
		severity  Severity
		run, text string
	}
	var out []Flag
	at := map[key]int{}
	for _, f := range flags {
		run, stage, several := strings.Cut(f.Stage, ": ")
		if !several {
			run, stage = "", f.Stage
		}
		k := key{f.Severity, run, f.Text}
		first, _, _ := strings.Cut(f.Text, " ")
		if i, known := at[k]; known && !ofOneStage[first] {
			out[i].Stage += ", " + stage
			continue
		}
		at[k] = len(out)
		out = append(out, f)
	}
	return out
}

func (r *Report) flag(sev Severity, stage, format string, args ...any) {
	r.Flags = append(r.Flags, Flag{Severity: sev, Stage: stage, Text: visible(fmt.Sprintf(format, args...))})
}

func (r *Report) flagStage(s *Stage) {
	if s.log.cut {
		r.flag(Note, s.Name, "The last line of metrics.jsonl was cut short and is left out.")
	}
	if kl := s.log.series["objective/kl"]; (s.Kind == "ppo" || s.Kind == "grpo") && kl != nil {
		// An estimate of a KL over many samples cannot be far below 0: when it is, the
		// samples do not come from the policy that scores them.
		if low := slices.Min(kl.Y); low < -1 {
			r.flag(Caution, s.Name, "The KL estimate fell to %s: sampling and scoring may not use the same "+
				"distribution.", num(low))
		}
	}
	res := s.Result
	if res == nil {
		var last float64
		for _, m := range s.log.series {
			if len(m.X) > 0 {
				last = max(last, m.X[len(m.X)-1])
			}
		}
		r.flag(Failure, s.Name, "has not finished (there is no result.json); its curves up to step %s are shown.",
			group(int(last)))
		return
	}
	if !s.Finished() {
		word := "was stopped early"
		if res.Status == "interrupted" {
			word = "was interrupted"
		}
		if res.Steps > 0 {
			word += " after " + plural(int(res.Steps), "step", "steps")
		}
		if res.Reason != "" {
			word += ": " + strings.TrimRight(res.Reason, ". ")
		}
		r.flag(Failure, s.Name, "%s.", word)
	}
	for _, w := range res.Warnings {
		r.flag(Caution, s.Name, "%s", w)
	}
	switch {
	case res.Resumed > 0:
		r.flag(Note, s.Name, "was interrupted and resumed %s.", plural(res.Resumed, "time", "times"))
	case s.Opened > 1:
		r.flag(Note, s.Name, "was started again %s after its first start.", plural(s.Opened-1, "time", "times"))
	}
	for _, d := range res.Data {
		r.flagLost(s.Name, d.Path, d.Rows, d.Dropped, d.Truncated, 0)
	}
	if c := res.Counts; c != nil {
		r.flagLost(s.Name, "training examples", c.In, c.Dropped, c.Truncated, c.NoTargets)
	}
	if c := res.EvalCounts; c != nil {
		r.flagLost(s.Name, "held-out examples", c.In, c.Dropped, c.Truncated, c.NoTargets)
	}
	if a, b := res.EvalBefore, res.EvalLast; a != nil && b != nil && b.Loss >= a.Loss {
		r.flag(Caution, s.Name, "The held-out loss did not fall (%s before, %s after).", num(a.Loss), num(b.Loss))
	}
}

// flagLost tells what of a data set was not used as it is.
func (r *Report) flagLost(stage, what string, rows, dropped, truncated, empty int) {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{dropped, "dropped"}, {truncated, "truncated"}, {empty, "without a token to learn from"}} {
		if p.n > 0 {
			parts = append(parts, group(p.n)+" "+p.word)
		}
	}
	if len(parts) == 0 {
		return
	}
	of, sev := "", Caution
	if rows > 0 {
		of = " of " + group(rows)
		if float64(dropped+truncated+empty) <= smallShare*float64(rows) {
			sev = Note
		}
	}
	r.flag(sev, stage, "%s: %s%s.", what, list(parts), of)
}

func (r *Report) flagAccuracies() {
	for _, a := range r.Accuracies {
		switch v := a.Accuracy; a.side() {
		case 0:
			text := v.text()
			if !v.known() {
				text += ", without an interval"
			}
			r.flag(Caution, "reward-"+a.Theory,
				"Its accuracy on held-out pairs is not told apart from chance (%s): scores under it say little.", text)
		case -1:
			r.flag(Failure, "reward-"+a.Theory,
				"It orders held-out pairs worse than chance (%s): are chosen and rejected the right way round?",
				v.text())
		}
	}
}

// benchmarkFlags are the words for flags of benchmarks. With a number (word=N) the
// models are listed with theirs.
var benchmarkFlags = map[string]struct {
	severity Severity
	text     string
}{
	"degenerate": {Caution, "one and the same answer to every item: accuracy is the share of that " +
		"class and no skill"},
	"one_class":            {Caution, "the items hold one class only, so MCC says nothing"},
	"truncated":            {Caution, "items longer than the context were cut"},
	"refused":              {Caution, "items without a usable answer"},
	"dropped":              {Caution, "items left out"},
	"damaged":              {Caution, "damaged records left out"},
	"partial":              {Note, "only the first items were asked, so many"},
	"ties":                 {Caution, "items whose choices score the same"},
	"unpaired":             {Note, "items without a counterpart to be compared with"},
	"first_token_unscored": {Note, "the vocabulary has neither BOS nor EOS to predict the first token from"},
	"prompt_not_reproduced": {Caution, "the text before the answer came back changed, so examples in it may " +
		"have been read as the answer"},
	"nothing_answered":          {Caution, "no item has a usable answer"},
	"no_ceiling":                {Note, "the ceiling of the noisy labels could not be estimated"},
	"threshold_from_other_rows": {Note, "the threshold was chosen on other rows"},
	"threshold_one_class":       {Caution, "the rows to choose a threshold on were all of one class"},
	"threshold_zero": {Caution,
		"the threshold is 0, which means nothing for a reward that is fixed up to a constant"},
	"overlap": {Caution,
		"items whose text is in the train file, too: see the numbers of the clean ones"},
	"no_groups":     {Note, "the rows are not in groups, so there is no exact match"},
	"without_votes": {Note, "items without votes, left out of the cross-entropy"},
	"unfinished":    {Caution, "answers that the limit of tokens ended"},
	"empty_answers": {Caution, "empty answers"},
}

// flagBenchmarks gathers equal flags of a table into one sentence, and of several tables that
// say the same into one that names them all.
func (r *Report) flagBenchmarks() {
	type statement struct{ word, who string }
	var said []statement
	titles := map[statement][]string{}
	for _, t := range r.Benchmarks {
		type mark struct{ model, count string }
		marks := map[string][]mark{}
		for _, row := range t.Rows {
			for _, f := range row.Flags {
				word, value, hasCount := strings.Cut(f, "=")
				m := mark{model: row.Model}
				switch n, err := strconv.Atoi(value); {
				case hasCount && err != nil:
					word = f
				case hasCount && n == 0:
					continue
				case hasCount && word == "dropped":
					m.count = group(n) + " of " + group(n+row.N) // they are not among the items
				case hasCount && row.N > 0 && word != "partial":
					m.count = group(n) + " of " + group(row.N)
				case hasCount:
					m.count = group(n)
				}
				marks[word] = append(marks[word], m)
			}
		}
		for _, word := range sortedKeys(marks) {
			// One statement for the whole table where all its rows agree.
			names, agree := []string{}, len(marks[word]) == len(t.Rows)
			for _, m := range marks[word] {
				names = append(names, strings.TrimSpace(m.model+" "+m.count))
				agree = agree && m.count == marks[word][0].count
			}
			who := list(names)
			if agree && len(names) > 1 {
				who = strings.TrimSpace("every " + t.Rowhead() + " " + marks[word][0].count)
			}
			s := statement{word, who}
			if titles[s] == nil {
				said = append(said, s)
			}
			titles[s] = append(titles[s], t.Title())
		}
	}
	for _, s := range said {
		f, ok := benchmarkFlags[s.word]
		if !ok {
			f.severity, f.text = Caution, s.word
		}
		r.flag(f.severity, "eval", "%s: %s: %s.", list(titles[s]), f.text, s.who)
	}
}

// flagConsistency compares the stages with one another.
func (r *Report) flagConsistency() {
	bases, versions := map[string][]string{}, map[string][]string{}
	for i := range r.Stages {
		s := &r.Stages[i]
		if s.Result == nil {
			continue
		}
		if s.Result.Base != nil && s.Result.Base.SHA256 != "" {
			k := short(s.Result.Base.SHA256)
			bases[k] = append(bases[k], s.Name)
		}
		if v := s.Result.Versions["steer"]; v != "" {
			versions[v] = append(versions[v], s.Name)
		}
	}
	tell := func(sev Severity, what string, groups map[string][]string) {
		if len(groups) < 2 {
			return
		}
		var parts []string
		for _, k := range sortedKeys(groups) {
			parts = append(parts, k+" ("+strings.Join(groups[k], ", ")+")")
		}
		r.flag(sev, "all", "Stages differ in %s: %s.", what, list(parts))
	}
	tell(Failure, "the base model, so their numbers do not belong together", bases)
	tell(Caution, "the version of steer", versions)
}

// short cuts a hash for reading; the whole one stands in the provenance.
func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}
