package jobs

import (
	"bytes"
	"encoding/json"

	"steer/eval/judge"
	"steer/internal/atomicfile"
	"steer/rewards/constitution"
	"steer/rl/data"
	"steer/rl/run"
)

// preference is a line of judged.jsonl: a pair that reward and dpo take, and what the judge said of it.
type preference struct {
	Prompt   any `json:"prompt,omitempty"`
	Chosen   any `json:"chosen"`
	Rejected any `json:"rejected"`
	// Margin is the log-odds of the chosen answer, averaged over both orders, in nats. It is not called margin, which a
	// reward model would learn to keep.
	Margin float64   `json:"judge_margin"`
	Judge  judgeNote `json:"judge"`
}

// judgeNote is what else is known of a preference.
type judgeNote struct {
	Constitution string `json:"constitution"`
	// P is the probability of the chosen answer among the two letters where it stands at A, and where it stands at B.
	P    [2]float64 `json:"p_chosen"`
	ID   string     `json:"id,omitempty"`
	Line int        `json:"line"` // of the file of pairs, or of candidates.jsonl
	// Policies wrote the chosen and the rejected answer.
	Policies []string `json:"policies,omitempty"`
}

// judgementLine is a line of judgements.jsonl: what the judge said of a pair, kept or not.
type judgementLine struct {
	ID       string        `json:"id,omitempty"`
	Line     int           `json:"line"`               // of the file of pairs, or of candidates.jsonl
	Policies []string      `json:"policies,omitempty"` // of the first and the second answer
	Verdict  judge.Verdict `json:"verdict"`
	// The rest is absent of pairs that were not asked. First is the answer that is labelled the better one, where
	// there are labels.
	Prefers    string      `json:"prefers,omitempty"` // first or second
	Margin     *float64    `json:"margin,omitempty"`  // log-odds of the first, in nats
	P          *[2]float64 `json:"p_first,omitempty"` // where it stands at A, and at B
	Letters    *float64    `json:"letters,omitempty"` // probability of A and B together
	Consistent *bool       `json:"consistent,omitempty"`
	Labelled   bool        `json:"labelled"`
}

// candidates is a line of candidates.jsonl: the answers to a prompt, which can be judged again.
type candidates struct {
	ID        string         `json:"id"` // of the prompt
	Prompt    []data.Message `json:"prompt"`
	Responses []string       `json:"responses"`
	Policies  []string       `json:"policies"` // who wrote them
}

// write writes what the judge prefers, what it said of each pair, and the answers that were sampled, each file whole
// or not at all.
func (j *Judge) write(folder *run.Folder, text constitution.Text, set *judged) error {
	var kept, all []any
	for i, p := range set.pairs {
		verdict := j.rule().Verdict(set.judgements[i])
		all = append(all, lineOf(p, set.judgements[i], verdict))
		if verdict == judge.Kept {
			kept = append(kept, preferenceOf(p, set.judgements[i], text.Name))
		}
	}
	if set.candidates != nil {
		var rows []any
		for _, r := range set.candidates {
			line := candidates{ID: r.ID, Prompt: r.Prompt, Policies: r.Policies}
			for _, a := range r.Answers {
				line.Responses = append(line.Responses, a.Turns[0].Content)
			}
			rows = append(rows, line)
		}
		if err := writeLines(folder.Path(run.CandidatesFile), rows); err != nil {
			return err
		}
	}
	if err := writeLines(folder.Path(run.JudgementsFile), all); err != nil {
		return err
	}
	return writeLines(folder.Path(run.JudgedFile), kept)
}

func writeLines(path string, rows []any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return atomicfile.WriteFile(path, b.Bytes(), 0o666)
}

func lineOf(p judge.Pair, one judge.Judgement, verdict judge.Verdict) judgementLine {
	line := judgementLine{ID: p.ID, Line: p.Line, Policies: policiesOf(p, false), Verdict: verdict,
		Labelled: p.Labelled}
	if one.TooLong {
		return line
	}
	margin, both, letters, consistent := one.Margin(), one.P(), one.Letters, one.Consistent()
	line.Margin, line.P, line.Letters, line.Consistent = &margin, &both, &letters, &consistent
	switch {
	case margin > 0:
		line.Prefers = "first"
	case margin < 0:
		line.Prefers = "second"
	}
	return line
}

// preferenceOf is a pair with the answer that the judge prefers as the chosen one.
func preferenceOf(p judge.Pair, one judge.Judgement, text string) preference {
	turned := one.Margin() < 0
	if turned {
		p.Chosen, p.Rejected = p.Rejected, p.Chosen
		p.ChosenTurns, p.RejectedTurns = p.RejectedTurns, p.ChosenTurns
		one.First, one.Second = -one.Second, -one.First
	}
	line := preference{Margin: one.Margin(), Judge: judgeNote{Constitution: text, P: one.P(), ID: p.ID, Line: p.Line,
		Policies: policiesOf(p, turned)}}
	asked := p.Asked()
	switch {
	case p.ChosenTurns == nil: // texts stay texts
		if line.Chosen, line.Rejected = p.Chosen, p.Rejected; p.Prompt != "" {
			line.Prompt = p.Prompt
		}
	case len(asked) == 0:
		line.Chosen, line.Rejected = p.ChosenTurns, p.RejectedTurns
	default:
		line.Prompt, line.Chosen, line.Rejected = asked, p.ChosenTurns[len(asked):], p.RejectedTurns[len(asked):]
	}
	return line
}

func policiesOf(p judge.Pair, turned bool) []string {
	switch {
	case p.Policies == [2]string{}:
		return nil
	case turned:
		return []string{p.Policies[1], p.Policies[0]}
	}
	return p.Policies[:]
}
