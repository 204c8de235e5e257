package data

import (
	"fmt"
	"slices"

	"steer/internal/strictjson"
)

// Labelled is an answer that is said to be good or bad.
type Labelled struct {
	Prompt, Answer []Message
	Good           bool
	Source         string
	Line           int
}

// ReadLabelled reads rows of {"prompt", "completion", "label"}, as KTO has them: label true or 1 says that
// the completion is good. notes count what was met and kept.
func ReadLabelled(src Source) (rows []Labelled, notes []string, err error) {
	notes, err = eachRecord(src, func(r *record) error {
		l := Labelled{Source: r.path, Line: r.row}
		var err error
		if l.Prompt, _, err = r.prompt(anyPrompt...); err != nil {
			return err
		}
		if l.Answer, _, err = r.answer(anyAnswer...); err != nil {
			return err
		}
		if r.absent("label") {
			return r.need("label", "true or false")
		}
		good, ok := zeroOrOne(r.fields["label"])
		if !ok {
			return r.bad("label", "true or false, 1 or 0", short(r.fields["label"]))
		}
		l.Good = good
		rows = append(rows, l)
		return r.scored("completion", l.Answer)
	})
	return rows, notes, err
}

// Ranked is several answers to one prompt.
type Ranked struct {
	Prompt  []Message
	Answers []RankedAnswer
	// Unscored: nobody says which is better; all scores are 0.
	Unscored bool
	ID       string // of the row, "" where it has none
	// Policies are the names of those who wrote the answers; nil where the row does not say.
	Policies []string
	Source   string
	Line     int
}

// RankedAnswer is one of them; the higher the score, the better.
type RankedAnswer struct {
	Turns []Message
	Score float64
}

// The keys under which an answer that is an object has its text and its score.
var (
	answerTexts  = []string{"answer", "response", "text", "content"}
	answerScores = []string{"score", "rank"}
)

// ReadRanked reads rows of {"prompt", "responses": [...], "scores": [...]}; "answers" is another name of
// "responses". An answer is text, a list of messages, or an object with its own score, {"text", "score"}.
// "ranks" stands for scores of which the lowest is the best; "rank" likewise.
func ReadRanked(src Source) (rows []Ranked, notes []string, err error) {
	return readRanked(src, true)
}

// ReadCandidates is ReadRanked of rows that may have no scores: answers that are yet to be judged.
func ReadCandidates(src Source) (rows []Ranked, notes []string, err error) {
	return readRanked(src, false)
}

// readRanked reads ranked answers; scored: each row has to have scores.
func readRanked(src Source, scored bool) (rows []Ranked, notes []string, err error) {
	notes, err = eachRecord(src, func(r *record) error {
		row := Ranked{Source: r.path, Line: r.row}
		var err error
		if row.Prompt, _, err = r.prompt(anyPrompt...); err != nil {
			return err
		}
		name, err := r.oneOf("responses", "answers")
		if err != nil {
			return err
		}
		var list []strictjson.Raw
		if err := r.list(name, &list); err != nil {
			return err
		}
		if len(list) < 2 {
			return r.bad(name, "at least two answers", fmt.Sprint(len(list)))
		}
		if row.ID, err = r.id(); err != nil {
			return err
		}
		if row.Policies, err = r.writers(name, len(list)); err != nil {
			return err
		}
		scores, err := r.scores(name, len(list))
		if err != nil {
			return err
		}
		row.Unscored = !scored && scores == nil && !slices.ContainsFunc(list, scoresItself)
		for i, raw := range list {
			a, err := r.rankedAnswer(fmt.Sprintf("%s[%d]", name, i), raw, scores == nil && !row.Unscored)
			if err != nil {
				return err
			}
			if scores != nil {
				a.Score = scores[i]
			}
			row.Answers = append(row.Answers, a)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, notes, err
}

// scoresItself tells whether an answer is an object with its own score.
func scoresItself(raw strictjson.Raw) bool {
	var keys rowKeys
	return strictjson.Kind(raw) == '{' && strictjson.Unmarshal(raw, &keys) == nil &&
		slices.ContainsFunc(answerScores, func(n string) bool { return !absent(keys[n]) })
}

// id is the name of the row, "" where it has none: a text or, as it stands there, whatever else.
func (r *record) id() (string, error) {
	switch {
	case r.absent("id"):
		return "", nil
	case strictjson.Kind(r.fields["id"]) == '"':
		return r.string("id")
	}
	return string(r.fields["id"]), nil
}

// writers reads who wrote n answers; nil where the row does not say.
func (r *record) writers(answers string, n int) (names []string, err error) {
	if r.absent("policies") {
		return nil, nil
	}
	if err := r.list("policies", &names); err != nil {
		return nil, err
	}
	if len(names) != n {
		return nil, r.bad("policies", fmt.Sprintf("%d names, one for each of %s", n, answers), fmt.Sprint(len(names)))
	}
	return names, nil
}

// scores reads the scores of n answers, nil where the answers bring their own.
func (r *record) scores(answers string, n int) ([]float64, error) {
	if r.absent("scores") && r.absent("ranks") {
		return nil, nil
	}
	name, err := r.oneOf("scores", "ranks")
	if err != nil {
		return nil, err
	}
	var list []*float64
	if err := r.list(name, &list); err != nil {
		return nil, err
	}
	if len(list) != n {
		return nil, r.bad(name, fmt.Sprintf("%d numbers, one for each of %s", n, answers), fmt.Sprint(len(list)))
	}
	scores := make([]float64, n)
	for i, x := range list {
		if x == nil {
			return nil, r.bad(fmt.Sprintf("%s[%d]", name, i), "a number", "null")
		}
		if scores[i] = *x; name == "ranks" {
			scores[i] = -*x
		}
	}
	return scores, nil
}

// rankedAnswer reads one answer; own says that it has its score beside it.
func (r *record) rankedAnswer(field string, raw strictjson.Raw, own bool) (a RankedAnswer, err error) {
	var keys rowKeys
	if strictjson.Kind(raw) != '{' || strictjson.Unmarshal(raw, &keys) != nil || keys["role"] != nil {
		if own {
			return a, r.need("scores", "a list of numbers, one for each answer")
		}
		if a.Turns, _, err = r.said(field, raw); err != nil {
			return a, err
		}
		return a, r.scored(field, a.Turns)
	}
	at, text, err := r.oneKey(field, keys, answerTexts)
	if err != nil {
		return a, err
	}
	if a.Turns, _, err = r.said(at, text); err != nil {
		return a, err
	}
	if own {
		if at, text, err = r.oneKey(field, keys, answerScores); err != nil {
			return a, err
		}
		if strictjson.Unmarshal(text, &a.Score) != nil {
			return a, r.bad(at, "a number", strictjson.Describe(text))
		}
		if keys["rank"] != nil {
			a.Score = -a.Score
		}
	}
	return a, r.scored(field, a.Turns)
}

// oneKey is the one of some keys that an object has.
func (r *record) oneKey(at string, keys rowKeys, names []string) (field string, raw strictjson.Raw, err error) {
	for _, n := range names {
		switch {
		case absent(keys[n]):
		case field != "":
			return "", nil, r.bad(at, fmt.Sprintf("one of the keys %q", names), "several")
		default:
			field, raw = at+"."+n, keys[n]
		}
	}
	if field == "" {
		return "", nil, r.bad(at, fmt.Sprintf("one of the keys %q", names), "none")
	}
	return field, raw, nil
}

// PairOf makes a pair of two answers to a prompt. Of running text the texts are prompt and answer as they
// stand; otherwise they are the contents of the messages end to end.
func PairOf(prompt, chosen, rejected []Message, source string, line int) Pair {
	side := func(answer []Message) []Message { return append(append([]Message{}, prompt...), answer...) }
	return Pair{Prompt: Conversation{Messages: prompt}.Text(), Chosen: Conversation{Messages: chosen}.Text(),
		Rejected: Conversation{Messages: rejected}.Text(), ChosenTurns: side(chosen), RejectedTurns: side(rejected),
		Source: source, Line: line}
}
