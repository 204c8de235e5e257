package data

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"steer/internal/ordered"
)

// readTableCSV reads records under a header line.
func readTableCSV(path string, format Format, comma byte) ([]Row, error) {
	c, err := newCSV(format, path, comma, defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	header, err := c.next()
	if errors.Is(err, io.EOF) {
		return nil, c.empty()
	}
	if err != nil {
		return nil, err
	}
	header = slices.Clone(header)
	for i, name := range header {
		if name == "" || slices.Index(header, name) != i {
			return nil, &Error{Format: format, Path: c.path, Line: c.start, Field: "header",
				Want: "a name of its own for every column",
				Got:  quote(strings.Join(header, string(comma))), Mend: "write a header line", Err: ErrMalformed}
		}
	}
	var lines []int
	var records [][]string
	for {
		record, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := c.count(); err != nil {
			return nil, err
		}
		if len(record) != len(header) {
			return nil, c.bad(c.start, "", fmt.Sprintf("%d columns, as the header has", len(header)),
				fmt.Sprint(len(record)))
		}
		lines, records = append(lines, c.start), append(records, record)
	}
	if len(records) == 0 {
		return nil, c.empty()
	}
	rows := make([]Row, len(records))
	for r := range records {
		rows[r] = Row{Line: lines[r], Fields: ordered.New(len(header))}
	}
	for i, name := range header {
		convert := columnType(records, i)
		for r, record := range records {
			rows[r].Fields.Set(name, convert(record[i]))
		}
	}
	return rows, nil
}

// columnType finds the narrowest type that all values of a column have.
func columnType(records [][]string, column int) func(string) any {
	all := func(is func(string) bool) bool {
		return !slices.ContainsFunc(records, func(r []string) bool { return !is(r[column]) })
	}
	switch {
	case all(func(s string) bool { _, ok := wholeNumber(s); return ok }):
		return func(s string) any { n, _ := wholeNumber(s); return n }
	case all(wholeDigits.MatchString) && slices.ContainsFunc(records, func(r []string) bool {
		return beyond64(r[column])
	}):
		return func(s string) any { return s } // beyond 64 bits: as floats they would be rounded
	case all(func(s string) bool { _, ok := decimal(s); return ok }):
		return func(s string) any { f, _ := decimal(s); return f }
	case all(func(s string) bool { return s == "True" || s == "False" }):
		return func(s string) any { return s == "True" }
	}
	return func(s string) any { return s }
}

func wholeNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && strconv.Itoa(n) == s
}

// beyond64 tells whole numbers that 64 bits do not hold.
func beyond64(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return errors.Is(err, strconv.ErrRange)
}

var wholeDigits = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// decimalNumber has no leading zeros: "007" is a name.
var decimalNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)

func decimal(s string) (float64, bool) {
	if !decimalNumber.MatchString(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}
