package data

import (
	"fmt"

	"steer/internal/strictjson"
)

// Scruples: Lourie, Le Bras, Choi, "Scruples: A Corpus of Community Ethical
// Judgments on 32,000 Real-Life Anecdotes", AAAI 2021.

// The two binarized labels of an anecdote.
const (
	LabelRight = "RIGHT"
	LabelWrong = "WRONG"
)

// LabelScores counts the votes of an anecdote.
type LabelScores struct {
	Author    int `json:"AUTHOR"`
	Other     int `json:"OTHER"`
	Everybody int `json:"EVERYBODY"`
	Nobody    int `json:"NOBODY"`
	Info      int `json:"INFO"`
}

// Binarized gives RIGHT = OTHER + NOBODY, WRONG = AUTHOR + EVERYBODY (INFO votes
// are dropped) and the majority; a tie is RIGHT.
func (l LabelScores) Binarized() (right, wrong int, label string) {
	right, wrong = l.Other+l.Nobody, l.Author+l.Everybody
	if wrong > right {
		return right, wrong, LabelWrong
	}
	return right, wrong, LabelRight
}

// Action is what an anecdote is about, in a few words.
type Action struct {
	Description        string `json:"description"`
	PronormativeScore  int    `json:"pronormative_score"`
	ContranormativeSum int    `json:"contranormative_score"`
}

// Anecdote is one row of {train,dev,test}.scruples-anecdotes.jsonl.
type Anecdote struct {
	Line           int
	ID, PostID     string
	Action         *Action // nil where the file has null
	Title          string
	Text           string // may be empty
	PostType       string // HISTORICAL or HYPOTHETICAL
	LabelScores    LabelScores
	Label          string // AUTHOR, OTHER, EVERYBODY, NOBODY or INFO
	BinarizedLabel string // RIGHT or WRONG; computed where the file lacks it
}

// ReadAnecdotes reads Scruples anecdotes. Rows of the corpus fixtures, which lack
// post_id, action and the binarized fields, are read too.
func ReadAnecdotes(path string) ([]Anecdote, error) {
	type row struct {
		ID             *string      `json:"id"`
		PostID         string       `json:"post_id"`
		Action         *Action      `json:"action"`
		Title          *string      `json:"title"`
		Text           *string      `json:"text"`
		PostType       string       `json:"post_type"`
		LabelScores    *LabelScores `json:"label_scores"`
		Label          string       `json:"label"`
		BinarizedLabel *string      `json:"binarized_label"`
	}
	var out []Anecdote
	err := readJSONLines(FormatAnecdotes, path, defaultLimits(), func(s *source, line int, v *row) error {
		switch {
		case v.LabelScores == nil:
			return s.need(line, "label_scores", "vote counts")
		case v.ID == nil:
			return s.need(line, "id", "text")
		case v.Title == nil:
			return s.need(line, "title", "text")
		case v.Text == nil:
			return s.need(line, "text", "text")
		}
		l := *v.LabelScores
		if min(l.Author, l.Other, l.Everybody, l.Nobody, l.Info) < 0 {
			return s.bad(line, "label_scores", "counts of at least 0", fmt.Sprintf("%+v", l))
		}
		switch v.Label {
		case "AUTHOR", "OTHER", "EVERYBODY", "NOBODY", "INFO":
		default:
			return s.bad(line, "label", "AUTHOR, OTHER, EVERYBODY, NOBODY or INFO", quote(v.Label))
		}
		_, _, binarized := l.Binarized()
		if v.BinarizedLabel != nil {
			if *v.BinarizedLabel != LabelRight && *v.BinarizedLabel != LabelWrong {
				return s.bad(line, "binarized_label", "RIGHT or WRONG", quote(*v.BinarizedLabel))
			}
			if *v.BinarizedLabel != binarized {
				return s.bad(line, "binarized_label", binarized+", which is what label_scores say",
					quote(*v.BinarizedLabel))
			}
		}
		out = append(out, Anecdote{Line: line, ID: *v.ID, PostID: v.PostID, Action: v.Action, Title: *v.Title,
			Text:     *v.Text,
			PostType: v.PostType, LabelScores: l, Label: v.Label, BinarizedLabel: binarized})
		return nil
	})
	return out, err
}

// DilemmaAction is one of the two actions of a dilemma.
type DilemmaAction struct {
	ID          string `json:"id"`
	Description string `json:"description"`
}

// Dilemma is one row of {train,dev,test}.scruples-dilemmas.jsonl.
type Dilemma struct {
	Line    int
	ID      string
	Actions [2]DilemmaAction
	// Votes[i] is the number of annotators that chose action i as the LESS ethical one.
	Votes         [2]int
	LessEthical   int // index, "gold_label"
	Controversial bool
	// Human is the same question answered by other annotators, the release's measure of
	// human performance; nil where the file lacks it (the fixtures do).
	Human *HumanAnswer
}

// HumanAnswer is "human_perf_annotations" and "human_perf_label" of a dilemma.
type HumanAnswer struct {
	Votes       [2]int // as Dilemma.Votes
	LessEthical int    // index
}

// ReadDilemmas reads Scruples dilemmas.
func ReadDilemmas(path string) ([]Dilemma, error) {
	type row struct {
		ID              *string         `json:"id"`
		Actions         []DilemmaAction `json:"actions"`
		GoldAnnotations []int           `json:"gold_annotations"`
		GoldLabel       *int            `json:"gold_label"`
		HumanVotes      []int           `json:"human_perf_annotations"`
		HumanLabel      *int            `json:"human_perf_label"`
		Controversial   *bool           `json:"controversial"`
	}
	var out []Dilemma
	err := readJSONLines(FormatDilemmas, path, defaultLimits(), func(s *source, line int, v *row) error {
		switch {
		case v.Actions == nil:
			return s.need(line, "actions", "two actions")
		case len(v.Actions) != 2:
			return s.bad(line, "actions", "two actions", fmt.Sprint(len(v.Actions)))
		case v.ID == nil:
			return s.need(line, "id", "text")
		case v.GoldLabel == nil:
			return s.need(line, "gold_label", "0 or 1")
		case *v.GoldLabel != 0 && *v.GoldLabel != 1:
			return s.bad(line, "gold_label", "0 or 1", fmt.Sprint(*v.GoldLabel))
		case len(v.GoldAnnotations) != 2 || min(v.GoldAnnotations[0], v.GoldAnnotations[1]) < 0:
			return s.bad(line, "gold_annotations", "two counts", fmt.Sprint(v.GoldAnnotations))
		}
		d := Dilemma{Line: line, ID: *v.ID, Actions: [2]DilemmaAction(v.Actions), Votes: [2]int(v.GoldAnnotations),
			LessEthical: *v.GoldLabel}
		if d.Votes[d.LessEthical] < d.Votes[1-d.LessEthical] {
			return s.bad(line, "gold_label", fmt.Sprintf("%d, the action most annotators chose as the less ethical one",
				1-d.LessEthical), fmt.Sprint(d.LessEthical))
		}
		if v.HumanLabel != nil || v.HumanVotes != nil {
			switch {
			case v.HumanLabel == nil || *v.HumanLabel != 0 && *v.HumanLabel != 1:
				return s.bad(line, "human_perf_label", "0 or 1, as human_perf_annotations is given",
					showInt(v.HumanLabel))
			case len(v.HumanVotes) != 2 || min(v.HumanVotes[0], v.HumanVotes[1]) < 0:
				return s.bad(line, "human_perf_annotations", "two counts", fmt.Sprint(v.HumanVotes))
			}
			d.Human = &HumanAnswer{Votes: [2]int(v.HumanVotes), LessEthical: *v.HumanLabel}
		}
		for i, a := range d.Actions {
			if a.Description == "" {
				return s.bad(line, fmt.Sprintf("actions[%d].description", i), "text", `""`)
			}
		}
		d.Controversial = d.Votes[0] > 0 && d.Votes[1] > 0
		if v.Controversial != nil && *v.Controversial != d.Controversial {
			return s.bad(line, "controversial", fmt.Sprintf("%v, which is what gold_annotations say", d.Controversial),
				fmt.Sprint(*v.Controversial))
		}
		out = append(out, d)
		return nil
	})
	return out, err
}

func showInt(v *int) string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprint(*v)
}

// ReadLabelCounts reads *_label-counts.json: a list with one list of vote counts
// an item, five for anecdotes (AUTHOR, OTHER, EVERYBODY, NOBODY, INFO) and two for dilemmas.
func ReadLabelCounts(path string) ([][]int, error) {
	body, found, err := readAll(path, limits{fileBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	fail := func(field, want, got, mend string, err error) error {
		return &Error{Format: FormatLabelCounts, Path: found, Field: field, Want: want, Got: got, Mend: mend, Err: err}
	}
	if len(body) == 0 {
		return nil, fail("", "data", "an empty file", "fetch the file again", ErrEmpty)
	}
	if err := notInstead(FormatLabelCounts, found, body); err != nil {
		return nil, err
	}
	var counts [][]int
	if err := strictjson.Unmarshal(body, &counts); err != nil {
		mend, kind := "fetch the file again", ErrMalformed
		if other := lookalike(path, FormatLabelCounts); other != "" {
			mend, kind = other, ErrWrongFormat
		}
		return nil, fail("", "a list of lists of counts", err.Error(), mend, kind)
	}
	if len(counts) == 0 {
		return nil, fail("", "at least one item", "none", "fetch the file again", ErrEmpty)
	}
	for i, c := range counts {
		if len(c) != len(counts[0]) || len(c) < 2 {
			return nil, fail(fmt.Sprintf("[%d]", i), fmt.Sprintf("%d counts", max(2, len(counts[0]))),
				fmt.Sprint(len(c)), mendRow, ErrMalformed)
		}
		for _, n := range c {
			if n < 0 {
				return nil, fail(fmt.Sprintf("[%d]", i), "counts of at least 0", fmt.Sprint(n), mendRow, ErrMalformed)
			}
		}
	}
	return counts, nil
}
