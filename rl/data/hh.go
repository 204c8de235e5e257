package data

import (
	"fmt"
	"strings"
)

// Markers of the hh-rlhf dialogues.
const (
	hhHuman     = "\n\nHuman:"
	hhAssistant = "\n\nAssistant:"
)

// HH is one hh-rlhf row (Bai et al. 2022, "Training a Helpful and Harmless
// Assistant"). Both dialogues are kept verbatim and as turns.
type HH struct {
	Line             int
	Chosen, Rejected string // whole dialogues as released
	// Prompt is what precedes the answer of the chosen dialogue, up to and
	// including its last "\n\nAssistant:"; "" when the two dialogues do not
	// share it, and then ChosenAnswer and RejectedAnswer are whole dialogues.
	Prompt, ChosenAnswer, RejectedAnswer string
	ChosenTurns, RejectedTurns           []Message
}

// HHStats counts the odd rows, which are kept.
type HHStats struct {
	Rows            int
	NoSharedPrompt  int // the dialogues part before the last "\n\nAssistant:"
	RepeatedSpeaker int // chosen dialogues with two turns of one speaker in a row
	EmptyAnswer     int // chosen dialogues whose last turn is empty
	Identical       int // chosen equals rejected
}

// ReadHH reads {train,test}.jsonl(.gz) of hh-rlhf.
func ReadHH(path string) ([]HH, HHStats, error) {
	type row struct {
		Chosen   *string `json:"chosen"`
		Rejected *string `json:"rejected"`
	}
	var rows []HH
	var stats HHStats
	err := readJSONLines(FormatHH, path, defaultLimits(), func(s *source, line int, v *row) error {
		if v.Chosen == nil {
			return s.need(line, "chosen", "a dialogue")
		}
		if v.Rejected == nil {
			return s.need(line, "rejected", "a dialogue")
		}
		h := HH{Line: line, Chosen: *v.Chosen, Rejected: *v.Rejected}
		for _, side := range []struct {
			name, text string
			turns      *[]Message
		}{{"chosen", h.Chosen, &h.ChosenTurns}, {"rejected", h.Rejected, &h.RejectedTurns}} {
			turns, err := ParseHHDialogue(side.text)
			if err != nil {
				return &Error{Format: s.format, Path: s.path, Line: line, Field: side.name, Want: err.Error(),
					Got: quote(side.text), Mend: mendRow, Err: ErrMalformed}
			}
			*side.turns = turns
		}
		cutC := strings.LastIndex(h.Chosen, hhAssistant) + len(hhAssistant)
		cutR := strings.LastIndex(h.Rejected, hhAssistant) + len(hhAssistant)
		if h.Chosen[:cutC] == h.Rejected[:cutR] {
			h.Prompt, h.ChosenAnswer, h.RejectedAnswer = h.Chosen[:cutC], h.Chosen[cutC:], h.Rejected[cutR:]
		} else {
			h.ChosenAnswer, h.RejectedAnswer = h.Chosen, h.Rejected
		}
		stats.add(h)
		rows = append(rows, h)
		return nil
	})
	return rows, stats, err
}

func (s *HHStats) add(h HH) {
	s.Rows++
	if h.Prompt == "" {
		s.NoSharedPrompt++
	}
	for i := 1; i < len(h.ChosenTurns); i++ {
		if h.ChosenTurns[i].Role == h.ChosenTurns[i-1].Role {
			s.RepeatedSpeaker++
			break
		}
	}
	if strings.TrimSpace(h.ChosenTurns[len(h.ChosenTurns)-1].Content) == "" {
		s.EmptyAnswer++
	}
	if h.Chosen == h.Rejected {
		s.Identical++
	}
}

// ParseHHDialogue splits "\n\nHuman: ...\n\nAssistant: ..." into turns. One blank
// after the colon belongs to the marker; everything else is kept.
func ParseHHDialogue(text string) ([]Message, error) {
	if !strings.HasPrefix(text, hhHuman) {
		return nil, fmt.Errorf("a dialogue that starts with %q", hhHuman)
	}
	var turns []Message
	for rest := text; rest != ""; {
		role, marker := RoleUser, hhHuman
		if strings.HasPrefix(rest, hhAssistant) {
			role, marker = RoleAssistant, hhAssistant
		}
		rest = rest[len(marker):]
		end := len(rest)
		for _, m := range []string{hhHuman, hhAssistant} {
			if i := strings.Index(rest, m); i >= 0 && i < end {
				end = i
			}
		}
		turns = append(turns, Message{Role: role, Content: strings.TrimPrefix(rest[:end], " ")})
		rest = rest[end:]
	}
	if turns[len(turns)-1].Role != RoleAssistant {
		return nil, fmt.Errorf("a dialogue that ends with an assistant turn")
	}
	return turns, nil
}

// Pair gives the row as a preference pair.
func (h HH) Pair(source string) Pair {
	return Pair{Prompt: h.Prompt, Chosen: h.ChosenAnswer, Rejected: h.RejectedAnswer,
		ChosenTurns: h.ChosenTurns, RejectedTurns: h.RejectedTurns, Source: source, Line: h.Line}
}
