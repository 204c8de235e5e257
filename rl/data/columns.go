package data

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/nearest"
	"steer/internal/strictjson"
)

// Columns says under which names a file has the columns of a shape: the name that steer knows to
// the one that the file has, {"prompt": "question"}. It is that of LLaMA-Factory's columns.
type Columns map[string]string

// check refuses names that no shape has, or, for a format that is named, names that it does not have.
func (c Columns) check(format Format) error {
	known := shapeColumns(format)
	if len(c) > 0 && len(known) == 0 {
		return fmt.Errorf("data: columns: format %s has the columns of its release: leave columns out", format)
	}
	from := map[string]string{}
	for _, name := range c.names() {
		column := c[name]
		switch {
		case column == "":
			return fmt.Errorf("data: columns.%s: want the name of a column, got none", name)
		case !slices.Contains(known, name):
			return fmt.Errorf("data: columns.%s: want a name that %s has: %s%s", name, called(format),
				strings.Join(known, ", "), meantColumn(name, column, known))
		case from[column] != "":
			return fmt.Errorf("data: columns: %s and %s are both read from %q: name one of them", from[column], name,
				column)
		}
		from[column] = name
	}
	return nil
}

func called(format Format) string {
	if format == "" || format == FormatAuto {
		return "a format of conversations or pairs"
	}
	return "format " + string(format)
}

func meantColumn(name, column string, known []string) string {
	if slices.Contains(known, column) {
		return fmt.Sprintf(": the file's names are on the right: write %s: %s", column, name)
	}
	if near, ok := nearest.Word(name, known); ok {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}

func (c Columns) names() []string {
	var out []string
	for name := range c {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// in is the name of a column in the file.
func (c Columns) in(name string) string {
	if column, ok := c[name]; ok {
		return column
	}
	return name
}

// nested are the columns of messages, not of rows.
var nested = []string{"role", "content", "from", "value"}

// rename gives the fields of a row the names that steer knows. A column whose known name is taken by
// another keeps its own, with a mark that no known name has.
func (c Columns) rename(fields map[string]strictjson.Raw) map[string]strictjson.Raw {
	if len(c) == 0 {
		return fields
	}
	out := make(map[string]strictjson.Raw, len(fields))
	taken := map[string]bool{}
	for _, name := range c.names() {
		if raw, ok := fields[c[name]]; ok && !slices.Contains(nested, name) {
			out[name] = raw
			taken[c[name]] = true
		}
	}
	for column, raw := range fields {
		if taken[column] {
			continue
		}
		if _, mapped := c[column]; mapped && !slices.Contains(nested, column) {
			column = besideMark + column
		}
		out[column] = raw
	}
	return out
}

// besideMark marks a column of the file whose name means another one.
const besideMark = "\x00"

// missing names a column that is mapped and that a file does not have.
func (c Columns) missing(have []string) (name string, found bool) {
	for _, name := range c.names() {
		if !slices.Contains(nested, name) && !slices.Contains(have, c[name]) {
			return name, true
		}
	}
	return "", false
}

// notThere is the error of a column that is mapped and that a file with the columns have lacks.
func (c Columns) notThere(format Format, path string, line int, name string, have []string) error {
	mend := "write its name as the file has it"
	if near, ok := nearest.Word(c[name], have); ok {
		mend = fmt.Sprintf("did you mean %q?", near)
	}
	return &Error{Format: format, Path: path, Line: line, Field: c[name],
		Want: fmt.Sprintf("a column of this name, as columns.%s says", name),
		Got:  fmt.Sprintf("the columns %q", have), Mend: mend, Err: ErrMalformed}
}
