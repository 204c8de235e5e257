package data

import (
	"fmt"
	"strconv"
)

// Inspect recognises the format of a file, reads all of it and describes it: rows,
// label balance, field lengths, odd cases and the first rows.
func Inspect(path string) (Summary, error) { return InspectSource(Source{Path: path}) }

// InspectSource is Inspect for a file whose format may be given, and whose columns may have other names. All
// of its rows are read, whatever split and limit are.
func InspectSource(src Source) (Summary, error) {
	src.Split, src.Limit = SplitAll, 0
	src, err := src.Resolve()
	if err != nil {
		return Summary{}, err
	}
	src.seen = &columnsSeen{rows: map[string]int{}, unread: map[string]bool{}}
	format := src.Format
	c := newCollector(src)
	switch format {
	case FormatDeontology, FormatUtilitarianism, FormatVirtue, FormatJustice, FormatCommonsense, FormatCommonsenseAmbig:
		err = c.ethics()
	case FormatHH, FormatPairs, FormatTokenPairs:
		err = c.pairs()
	case FormatGuanaco, FormatGuanacoParquet, FormatChat, FormatShareGPT, FormatAlpaca, FormatCompletion,
		FormatPrompts:
		err = c.conversations()
	case FormatKTO:
		err = c.labelled()
	case FormatRanked:
		err = c.ranked()
	case FormatTokens:
		err = c.tokens()
	case FormatAnecdotes, FormatDilemmas, FormatLabelCounts:
		err = c.scruples()
	case FormatToxiGen, FormatSafeNLP:
		err = c.toxigen()
	case FormatWSC, FormatPartial, FormatWinoGrande, FormatWinoBias, FormatWinogender, FormatWinogenderTempl,
		FormatWinogenderStats:
		err = c.coreference()
	case FormatCrowSPairs:
		err = c.crows()
	case FormatText:
		err = c.lines()
	default:
		err = fmt.Errorf("data: %s: %w: %q", src.Path, ErrUnknownFormat, format)
	}
	if err != nil {
		return Summary{}, err
	}
	return c.finish(), nil
}

func (c *collector) ethics() error {
	path := c.summary.Path
	switch c.summary.Format {
	case FormatDeontology:
		rows, err := ReadDeontology(path)
		for _, r := range rows {
			c.row(strconv.Itoa(r.Label), text("scenario", r.Scenario), text("excuse", r.Excuse))
		}
		return err
	case FormatUtilitarianism:
		rows, err := ReadUtilitarianism(path)
		same := 0
		for _, r := range rows {
			c.row("", text("more pleasant", r.Better), text("less pleasant", r.Worse))
			if r.Better == r.Worse {
				same++
			}
		}
		c.note(same, "%d rows with two equal scenarios")
		return err
	case FormatVirtue:
		rows, err := ReadVirtue(path)
		for _, r := range rows {
			c.row(strconv.Itoa(r.Label), text("scenario", r.Scenario), text("trait", r.Trait))
		}
		return err
	case FormatJustice:
		rows, err := ReadJustice(path)
		for _, r := range rows {
			c.row(strconv.Itoa(r.Label), text("scenario", r.Scenario))
		}
		return err
	case FormatCommonsense:
		rows, err := ReadCommonsense(path)
		short := 0
		for _, r := range rows {
			c.row(map[int]string{0: "0 (acceptable)", 1: "1 (wrong)"}[r.Label], text("input", r.Input))
			if r.IsShort {
				short++
			}
		}
		c.note(short, "%d short items, the rest are forum posts")
		return err
	default:
		rows, err := ReadCommonsenseAmbig(path)
		for _, r := range rows {
			c.row("", text("input", r.Input))
		}
		return err
	}
}

func (c *collector) pairs() error {
	switch c.summary.Format {
	case FormatHH:
		rows, stats, err := ReadHH(c.summary.Path)
		for _, r := range rows {
			c.row("", text("chosen", r.Chosen), text("rejected", r.Rejected),
				sized("turns", "turns", len(r.ChosenTurns), strconv.Itoa(len(r.ChosenTurns))))
		}
		c.note(stats.NoSharedPrompt, "%d rows whose dialogues part before the last answer")
		c.note(stats.RepeatedSpeaker, "%d chosen dialogues with two turns of one speaker in a row")
		c.note(stats.EmptyAnswer, "%d chosen dialogues that end in an empty answer")
		c.note(stats.Identical, "%d rows with two equal dialogues")
		return err
	case FormatPairs:
		rows, notes, err := readPairs(c.source)
		lists := 0
		for _, r := range rows {
			if r.ChosenTurns != nil {
				lists++
			}
			c.row("", text("prompt", r.Prompt), text("chosen", r.Chosen), text("rejected", r.Rejected))
		}
		c.note(lists, "%d pairs of message lists; their texts are shown end to end")
		c.summary.Notes = append(c.summary.Notes, notes...)
		return err
	default:
		rows, notes, err := readTokenPairs(c.source)
		c.summary.Notes = append(c.summary.Notes, notes...)
		for _, r := range rows {
			c.row("", sized("chosen_ids", "tokens", len(r.ChosenIDs), fmt.Sprint(r.ChosenIDs)),
				sized("rejected_ids", "tokens", len(r.RejectedIDs), fmt.Sprint(r.RejectedIDs)))
		}
		return err
	}
}

func (c *collector) conversations() error {
	rows, notes, err := readConversations(c.source)
	system := 0
	for _, r := range rows {
		var sides [2][]string
		for _, m := range r.Messages {
			if m.Role == RoleAssistant {
				sides[1] = append(sides[1], m.Content)
			} else {
				sides[0] = append(sides[0], m.Content)
			}
		}
		if len(r.Messages) > 0 && r.Messages[0].Role == RoleSystem {
			system++
		}
		c.row("", sized("turns", "turns", len(r.Messages), strconv.Itoa(len(r.Messages))), said("asked", sides[0]),
			said("answered", sides[1]))
	}
	c.note(system, "%d conversations with a system text")
	c.summary.Notes = append(c.summary.Notes, notes...)
	return err
}

func (c *collector) labelled() error {
	rows, notes, err := ReadLabelled(c.source)
	for _, r := range rows {
		c.row(map[bool]string{true: "good", false: "bad"}[r.Good],
			text("prompt", Conversation{Messages: r.Prompt}.Text()),
			text("completion", Conversation{Messages: r.Answer}.Text()))
	}
	c.summary.Notes = append(c.summary.Notes, notes...)
	return err
}

func (c *collector) ranked() error {
	rows, notes, err := ReadCandidates(c.source)
	for _, r := range rows {
		if r.Unscored {
			c.row("", text("prompt", Conversation{Messages: r.Prompt}.Text()),
				sized("responses", "answers", len(r.Answers), strconv.Itoa(len(r.Answers))),
				text("first", Conversation{Messages: r.Answers[0].Turns}.Text()))
			continue
		}
		best, worst := 0, 0
		for i, a := range r.Answers {
			if a.Score > r.Answers[best].Score {
				best = i
			}
			if a.Score < r.Answers[worst].Score {
				worst = i
			}
		}
		c.row("", text("prompt", Conversation{Messages: r.Prompt}.Text()),
			sized("responses", "answers", len(r.Answers), strconv.Itoa(len(r.Answers))),
			text("best", Conversation{Messages: r.Answers[best].Turns}.Text()),
			text("worst", Conversation{Messages: r.Answers[worst].Turns}.Text()))
	}
	c.summary.Notes = append(c.summary.Notes, notes...)
	return err
}

func (c *collector) tokens() error {
	rows, notes, err := readTokens(c.source)
	c.summary.Notes = append(c.summary.Notes, notes...)
	for _, r := range rows {
		n := len(r.Targets())
		c.row("", sized("ids", "tokens", len(r.IDs), fmt.Sprint(r.IDs)), sized("counted", "tokens", n, strconv.Itoa(n)))
	}
	return err
}

func (c *collector) scruples() error {
	switch c.summary.Format {
	case FormatAnecdotes:
		rows, err := ReadAnecdotes(c.summary.Path)
		noAction, ties := 0, 0
		for _, r := range rows {
			c.row(r.BinarizedLabel, text("title", r.Title), text("text", r.Text))
			if r.Action == nil {
				noAction++
			}
			if right, wrong, _ := r.LabelScores.Binarized(); right == wrong {
				ties++
			}
		}
		c.note(noAction, "%d rows without an action")
		c.note(ties, "%d ties, which count as RIGHT")
		return err
	case FormatDilemmas:
		rows, err := ReadDilemmas(c.summary.Path)
		controversial := 0
		for _, r := range rows {
			c.row(strconv.Itoa(r.LessEthical), text("action 0", r.Actions[0].Description),
				text("action 1", r.Actions[1].Description))
			if r.Controversial {
				controversial++
			}
		}
		c.note(controversial, "%d controversial rows (annotators not unanimous)")
		return err
	default:
		rows, err := ReadLabelCounts(c.summary.Path)
		for _, r := range rows {
			votes := 0
			for _, n := range r {
				votes += n
			}
			c.row("", sized("votes", "votes", votes, fmt.Sprint(r)))
		}
		return err
	}
}

func (c *collector) toxigen() error {
	if c.summary.Format == FormatSafeNLP {
		rows, err := ReadSafeNLP(c.summary.Path)
		for _, r := range rows {
			c.row(r.Label, text("text", r.Text))
		}
		return err
	}
	rows, err := ReadToxiGen(c.summary.Path)
	hate := 0
	for _, r := range rows {
		label := "not toxic"
		if r.Toxic() {
			label = "toxic (toxicity_ai + toxicity_human > 5.5)"
		}
		if r.PromptLabel == "hate" {
			hate++
		}
		c.row(label, text("text", r.Text), text("target_group", r.TargetGroup))
	}
	c.note(hate, "%d rows whose prompt (not the text) was of the hate kind")
	return err
}

func (c *collector) coreference() error {
	path := c.summary.Path
	switch c.summary.Format {
	case FormatWSC:
		rows, err := ReadWSC(path)
		for _, r := range rows {
			c.row("AB"[r.Correct:r.Correct+1], text("text", r.Txt1+" ["+r.Pron+"] "+r.Txt2),
				text("answer A", r.Answers[0]), text("answer B", r.Answers[1]))
		}
		return err
	case FormatPartial:
		rows, err := ReadPartial(path)
		for _, r := range rows {
			c.row(strconv.Itoa(r.Gold), text("context 0", r.Contexts[0]), text("context 1", r.Contexts[1]),
				text("continuation", r.Continuation))
		}
		return err
	case FormatWinoGrande:
		rows, err := ReadWinoGrande(path)
		for _, r := range rows {
			c.row(strconv.Itoa(r.Answer+1), text("sentence", r.Sentence), text("option 1", r.Options[0]),
				text("option 2", r.Options[1]))
		}
		return err
	case FormatWinoBias:
		rows, err := ReadWinoBias(path)
		for _, r := range rows {
			c.row(r.Text[r.Pronouns[0][0]:r.Pronouns[0][1]], text("sentence", r.Text),
				text("referent", r.Text[r.Referent[0]:r.Referent[1]]))
		}
		return err
	case FormatWinogender:
		rows, err := ReadWinogender(path)
		for _, r := range rows {
			c.row(r.Gender, text("sentence", r.Sentence))
		}
		return err
	case FormatWinogenderTempl:
		rows, err := ReadWinogenderTemplates(path)
		for _, r := range rows {
			c.row(strconv.Itoa(r.Answer), text("sentence", r.Sentence))
		}
		return err
	default:
		rows, err := ReadWinogenderOccupations(path)
		for _, r := range rows {
			c.row("", text("occupation", r.Occupation))
		}
		return err
	}
}

func (c *collector) crows() error {
	rows, err := ReadCrowSPairs(c.summary.Path)
	anti := 0
	for _, r := range rows {
		c.row(r.BiasType, text("sent_more", r.More), text("sent_less", r.Less))
		if !r.Stereotype {
			anti++
		}
	}
	c.note(anti, "%d pairs of the direction antistereo")
	return err
}

func (c *collector) lines() error {
	rows, err := ReadLines(c.summary.Path)
	for _, r := range rows {
		c.row("", text("line", r.Text))
	}
	return err
}
