package data

import "strings"

// The ETHICS data of Hendrycks et al., "Aligning AI With Shared Human Values",
// ICLR 2021. Labels are kept as released; note that commonsense marks what is
// wrong and the other tasks mark what is right.

// Deontology is one row: an excuse (or a derived duty) for a scenario.
type Deontology struct {
	Line     int
	Label    int    // 1: the excuse or duty is reasonable
	Scenario string // verbatim, trailing blanks included
	Excuse   string // verbatim; may begin with a blank
}

// Utilitarianism is one row: Better is the more pleasant of two scenarios.
type Utilitarianism struct {
	Line          int
	Better, Worse string
}

// Virtue is one row: does the character of the scenario show the trait.
type Virtue struct {
	Line     int
	Label    int    // 1: the trait is shown
	Scenario string // text before " [SEP] "
	Trait    string // text after it, verbatim
}

// Justice is one row.
type Justice struct {
	Line     int
	Label    int // 1: reasonable
	Scenario string
}

// Commonsense is one row.
type Commonsense struct {
	Line    int
	Label   int    // 1: what the narrator did is WRONG
	Input   string // may hold line ends, LF and CRLF
	IsShort bool   // one or two sentences; else a forum post "title | text"
	Edited  bool
}

// VirtueSeparator joins scenario and trait in the released files.
const VirtueSeparator = " [SEP] "

// ReadDeontology reads deontology_{train,test}.csv.
func ReadDeontology(path string) ([]Deontology, error) {
	var rows []Deontology
	c, err := newCSV(FormatDeontology, path, ',', defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.header("label", "scenario", "excuse"); err != nil {
		return nil, err
	}
	err = c.each(3, func(line int, f []string) error {
		label, err := c.binary(f, 0, "label")
		if err != nil {
			return err
		}
		scenario, err := c.text(f, 1, "scenario")
		if err != nil {
			return err
		}
		excuse, err := c.text(f, 2, "excuse")
		if err != nil {
			return err
		}
		rows = append(rows, Deontology{Line: line, Label: label, Scenario: scenario, Excuse: excuse})
		return nil
	})
	return rows, err
}

// ReadUtilitarianism reads util_{train,test}.csv, which have no header: the
// first line is the first pair.
func ReadUtilitarianism(path string) ([]Utilitarianism, error) {
	var rows []Utilitarianism
	c, err := newCSV(FormatUtilitarianism, path, ',', defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	err = c.each(2, func(line int, f []string) error {
		if c.rows == 1 {
			if name := strings.ToLower(f[0]); name == "label" || name == "baseline" || name == "chosen" {
				return &Error{Format: c.format, Path: c.path, Line: line, Field: "header",
					Want: "no header: the release has none",
					Got:  quote(strings.Join(f, ",")), Mend: "delete the header line, or name the right file",
					Err: ErrWrongFormat}
			}
		}
		better, err := c.text(f, 0, "more pleasant scenario (column 0)")
		if err != nil {
			return err
		}
		worse, err := c.text(f, 1, "less pleasant scenario (column 1)")
		if err != nil {
			return err
		}
		rows = append(rows, Utilitarianism{Line: line, Better: better, Worse: worse})
		return nil
	})
	return rows, err
}

// readLabelScenario reads the two-column files of virtue and justice.
func readLabelScenario(
	format Format, path string, row func(c *csvReader, line, label int, scenario string) error,
) error {
	c, err := newCSV(format, path, ',', defaultLimits())
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.header("label", "scenario"); err != nil {
		return err
	}
	return c.each(2, func(line int, f []string) error {
		label, err := c.binary(f, 0, "label")
		if err != nil {
			return err
		}
		scenario, err := c.text(f, 1, "scenario")
		if err != nil {
			return err
		}
		return row(c, line, label, scenario)
	})
}

// ReadVirtue reads virtue_{train,test}.csv.
func ReadVirtue(path string) ([]Virtue, error) {
	var rows []Virtue
	err := readLabelScenario(FormatVirtue, path, func(c *csvReader, line, label int, text string) error {
		scenario, trait, found := strings.Cut(text, VirtueSeparator)
		if !found || strings.Contains(trait, VirtueSeparator) || strings.TrimSpace(trait) == "" {
			e := &Error{Format: c.format, Path: c.path, Line: c.lines[1], Field: "scenario",
				Want: `text, one " [SEP] " and a trait`, Got: quote(text), Mend: mendRow, Err: ErrMalformed}
			if c.rows == 1 {
				if other := lookalike(c.path, c.format); other != "" {
					e.Mend, e.Err = other, ErrWrongFormat
				}
			}
			return e
		}
		rows = append(rows, Virtue{Line: line, Label: label, Scenario: scenario, Trait: trait})
		return nil
	})
	return rows, err
}

// ReadJustice reads justice_{train,test}.csv.
func ReadJustice(path string) ([]Justice, error) {
	var rows []Justice
	err := readLabelScenario(FormatJustice, path, func(c *csvReader, line, label int, text string) error {
		if strings.Contains(text, VirtueSeparator) {
			return &Error{Format: c.format, Path: c.path, Line: c.lines[1], Field: "scenario", Want: `no " [SEP] "`,
				Got: quote(text),
				Mend: "this looks like " + FormatVirtue.Title() + ": set format: " + string(FormatVirtue) +
					", or name the right file", Err: ErrWrongFormat}
		}
		rows = append(rows, Justice{Line: line, Label: label, Scenario: text})
		return nil
	})
	return rows, err
}

// ReadCommonsense reads cm_{train,test}.csv. Rows span lines: row and line
// numbers differ.
func ReadCommonsense(path string) ([]Commonsense, error) {
	var rows []Commonsense
	c, err := newCSV(FormatCommonsense, path, ',', defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.header("label", "input", "is_short", "edited"); err != nil {
		return nil, err
	}
	err = c.each(4, func(line int, f []string) error {
		row := Commonsense{Line: line}
		var err error
		if row.Label, err = c.binary(f, 0, "label"); err != nil {
			return err
		}
		if row.Input, err = c.text(f, 1, "input"); err != nil {
			return err
		}
		if row.IsShort, err = c.pythonBool(f, 2, "is_short"); err != nil {
			return err
		}
		if row.Edited, err = c.pythonBool(f, 3, "edited"); err != nil {
			return err
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// ReadCommonsenseAmbig reads cm_ambig.csv: one column, no header, no label.
func ReadCommonsenseAmbig(path string) ([]Commonsense, error) {
	var rows []Commonsense
	c, err := newCSV(FormatCommonsenseAmbig, path, ',', defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	err = c.each(1, func(line int, f []string) error {
		rows = append(rows, Commonsense{Line: line, Label: -1, Input: f[0]})
		return nil
	})
	return rows, err
}

func (c *csvReader) pythonBool(fields []string, i int, name string) (bool, error) {
	switch fields[i] {
	case "True":
		return true, nil
	case "False":
		return false, nil
	}
	return false, c.bad(c.lines[i], name, "True or False", quote(fields[i]))
}
