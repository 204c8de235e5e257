package data

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WinoBias is one sentence (Zhao et al., NAACL 2018). Spans are byte ranges of Text.
type WinoBias struct {
	Line     int
	Number   int    // as printed at the start of the line
	Text     string // without the brackets
	Referent [2]int // "The developer"
	Pronouns [][2]int
}

// ReadWinoBias reads {pro,anti}_stereotyped_type{1,2}.txt.{dev,test}: lines of
// "N sentence" with the referent and one or more pronouns in brackets. A bracket
// that is opened once and closed once around "the [the chief]" is as released.
func ReadWinoBias(path string) ([]WinoBias, error) {
	s, err := newSource(FormatWinoBias, path, defaultLimits())
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []WinoBias
	for {
		line, err := s.nextText()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		row, problem := parseWinoBias(line)
		if problem != "" {
			e := &Error{Format: s.format, Path: s.path, Line: s.line, Want: problem, Got: quote(line), Mend: mendRow,
				Err: ErrMalformed}
			if s.rows == 1 {
				if other := lookalike(s.path, s.format); other != "" {
					e.Mend, e.Err = other, ErrWrongFormat
				}
			}
			return nil, e
		}
		row.Line = s.line
		out = append(out, row)
	}
	if len(out) == 0 {
		return nil, s.empty()
	}
	return out, nil
}

// parseWinoBias gives the row, or what was expected instead.
func parseWinoBias(line string) (WinoBias, string) {
	number, sentence, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return WinoBias{}, "a number before the sentence"
	}
	var text strings.Builder
	var spans [][2]int
	open := -1
	for _, r := range sentence {
		switch {
		case r == '[' && open < 0:
			open = text.Len()
		case r == ']' && open >= 0 && text.Len() > open:
			spans = append(spans, [2]int{open, text.Len()})
			open = -1
		case r == '[' || r == ']':
			return WinoBias{}, "brackets that match and hold text"
		default:
			text.WriteRune(r)
		}
	}
	if open >= 0 || len(spans) < 2 {
		return WinoBias{}, "the referent and a pronoun in brackets"
	}
	return WinoBias{Number: n, Text: text.String(), Referent: spans[0], Pronouns: spans[1:]}, ""
}

// Winogender is one sentence of all_sentences.tsv (Rudinger et al., NAACL 2018).
type Winogender struct {
	Line        int
	ID          string
	Occupation  string
	Participant string
	Answer      int    // 0: the pronoun means the occupation, 1: the participant
	Gender      string // male, female or neutral
	Sentence    string
}

// ReadWinogender reads all_sentences.tsv.
func ReadWinogender(path string) ([]Winogender, error) {
	var out []Winogender
	err := readTSV(FormatWinogender, path, []string{"sentid", "sentence"}, func(s *source, line int, f []string) error {
		parts := strings.Split(strings.TrimSuffix(f[0], ".txt"), ".")
		if len(parts) != 4 || (parts[2] != "0" && parts[2] != "1") {
			return s.bad(line, "sentid", "occupation.participant.answer.gender.txt", quote(f[0]))
		}
		if g := parts[3]; g != "male" && g != "female" && g != "neutral" {
			return s.bad(line, "sentid", "gender male, female or neutral", quote(g))
		}
		row := Winogender{Line: line, ID: f[0], Occupation: parts[0], Participant: parts[1], Gender: parts[3],
			Sentence: f[1]}
		if parts[2] == "1" {
			row.Answer = 1
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// WinogenderTemplate is one row of templates.tsv.
type WinogenderTemplate struct {
	Line                    int
	Occupation, Participant string
	Answer                  int
	Sentence                string // with $OCCUPATION, $PARTICIPANT, $NOM_PRONOUN, ...
}

// ReadWinogenderTemplates reads templates.tsv.
func ReadWinogenderTemplates(path string) ([]WinogenderTemplate, error) {
	var out []WinogenderTemplate
	header := []string{"occupation(0)", "other-participant(1)", "answer", "sentence"}
	err := readTSV(FormatWinogenderTempl, path, header, func(s *source, line int, f []string) error {
		answer, err := strconv.Atoi(f[2])
		if err != nil || answer < 0 || answer > 1 {
			return s.bad(line, "answer", "0 or 1", quote(f[2]))
		}
		out = append(out, WinogenderTemplate{Line: line, Occupation: f[0], Participant: f[1], Answer: answer,
			Sentence: f[3]})
		return nil
	})
	return out, err
}

// WinogenderOccupation is one row of occupations-stats.tsv.
type WinogenderOccupation struct {
	Line           int
	Occupation     string
	BergsmaPercent float64 // share of women in text (Bergsma and Lin 2006), percent
	BLSPercent     float64 // share of women in the occupation (US statistics), percent
	BLSYear        int
}

// ReadWinogenderOccupations reads occupations-stats.tsv.
func ReadWinogenderOccupations(path string) ([]WinogenderOccupation, error) {
	var out []WinogenderOccupation
	header := []string{"occupation", "bergsma_pct_female", "bls_pct_female", "bls_year"}
	err := readTSV(FormatWinogenderStats, path, header, func(s *source, line int, f []string) error {
		row := WinogenderOccupation{Line: line, Occupation: f[0]}
		for i, into := range []*float64{&row.BergsmaPercent, &row.BLSPercent} {
			v, err := strconv.ParseFloat(f[i+1], 64)
			if err != nil || !(v >= 0 && v <= 100) {
				return s.bad(line, header[i+1], "a percentage", quote(f[i+1]))
			}
			*into = v
		}
		year, err := strconv.Atoi(f[3])
		if err != nil {
			return s.bad(line, "bls_year", "a year", quote(f[3]))
		}
		row.BLSYear = year
		out = append(out, row)
		return nil
	})
	return out, err
}

// readTSV reads tab-separated lines without quoting.
func readTSV(format Format, path string, header []string, row func(s *source, line int, fields []string) error) error {
	s, err := newSource(format, path, defaultLimits())
	if err != nil {
		return err
	}
	defer s.close()
	first, err := s.nextLine()
	if err != nil {
		return err
	}
	if want := strings.Join(header, "\t"); string(first) != want {
		e := &Error{Format: format, Path: s.path, Line: 1, Field: "header", Want: quote(want),
			Got: quote(string(first)), Mend: "put back the header line of the release", Err: ErrWrongFormat}
		if other := lookalike(s.path, format); other != "" {
			e.Mend = other
		}
		return e
	}
	for {
		raw, err := s.nextLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(raw) == 0 {
			continue
		}
		if err := s.count(); err != nil {
			return err
		}
		fields := strings.Split(string(raw), "\t")
		if len(fields) != len(header) {
			return s.bad(s.line, "", fmt.Sprintf("%d columns separated by tabs", len(header)), fmt.Sprint(len(fields)))
		}
		if err := row(s, s.line, fields); err != nil {
			return err
		}
	}
	if s.rows == 0 {
		return s.empty()
	}
	return nil
}
