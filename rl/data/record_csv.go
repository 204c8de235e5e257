package data

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"steer/internal/strictjson"
)

// eachCSV reads the rows of a CSV or TSV file with a header line. An empty field is a column that says
// nothing; lists are written as JSON.
func (o *rowOptions) eachCSV(src Source, comma byte, row func(r *record) error) error {
	c, header, err := openRows(src, comma)
	if err != nil {
		return err
	}
	defer c.close()
	first := &record{source: c.source, row: c.start, opts: o}
	if err := first.columnsAre(header); err != nil {
		return err
	}
	for {
		cells, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := c.count(); err != nil {
			return err
		}
		if len(cells) != len(header) {
			return c.bad(c.start, "", fmt.Sprintf("%d columns, as the header has", len(header)), fmt.Sprint(len(cells)))
		}
		r := &record{source: c.source, row: c.start, opts: o, cells: map[string]int{}}
		for i, name := range header {
			r.cells[name] = c.lines[i]
		}
		fields, err := o.columns.cells(header, cells)
		if err != nil {
			return r.wrong(err)
		}
		r.fields = fields
		if err := row(r); err != nil {
			return err
		}
	}
	if c.rows == 0 {
		return c.empty()
	}
	return nil
}

// openRows opens a CSV or TSV file and reads its header. A first column without a name is an index, as
// pandas writes it.
func openRows(src Source, comma byte) (*csvReader, []string, error) {
	c, err := newCSV(src.Format, src.Path, comma, defaultLimits())
	if err != nil {
		return nil, nil, err
	}
	header, err := c.next()
	if errors.Is(err, io.EOF) {
		err = c.empty()
	}
	if err != nil {
		c.close()
		return nil, nil, err
	}
	header = slices.Clone(header)
	if header[0] == "" {
		header[0] = "Unnamed: 0"
	}
	for i, name := range header {
		if name == "" || slices.Index(header, name) != i {
			c.close()
			return nil, nil, &Error{Format: src.Format, Path: c.path, Line: c.start, Field: "header",
				Want: "a name of its own for every column", Got: quote(strings.Join(header, string(comma))),
				Mend: "write a header line", Err: ErrMalformed}
		}
	}
	return c, header, nil
}

// The columns of CSV that are no plain text: those that are always JSON, and those that may be a list of
// messages.
var (
	jsonColumns = []string{"messages", "conversations", "history", "responses", "answers", "scores", "ranks", "ids",
		"mask", "chosen_ids", "rejected_ids", "margin"}
	listColumns = []string{"prompt", "completion", "response", "chosen", "rejected"}
)

// pythonList is how Python prints a list of messages.
var pythonList = regexp.MustCompile(`^\[?\s*\{\s*'(role|from|content|value)'\s*:`)

// cells turns a record into fields by the names that steer knows.
func (c Columns) cells(header, cells []string) (rowKeys, error) {
	raw := make(map[string]strictjson.Raw, len(header))
	for i, name := range header {
		raw[name] = strictjson.Raw(cells[i])
	}
	fields := rowKeys(c.rename(raw))
	for _, name := range sortedKeys(fields) {
		value, err := cellOf(name, string(fields[name]))
		if err != nil {
			return nil, err
		}
		if value == nil {
			delete(fields, name)
			continue
		}
		fields[name] = value
	}
	return fields, nil
}

// cellOf gives the text of a cell as JSON, nil for one that says nothing.
func cellOf(name, cell string) (strictjson.Raw, error) {
	text := func() (strictjson.Raw, error) {
		raw, err := json.Marshal(cell)
		return raw, err
	}
	trimmed := strings.TrimSpace(cell)
	switch {
	case trimmed == "" && !slices.Contains([]string{"output", "completion", "response", "prompt", "instruction",
		"chosen", "rejected"}, name):
		return nil, nil
	case name == "label" || slices.Contains(lossKeys, name):
		switch trimmed {
		case "True", "TRUE":
			return strictjson.Raw("true"), nil
		case "False", "FALSE":
			return strictjson.Raw("false"), nil
		case "1", "0", "1.0", "0.0", "true", "false":
			return strictjson.Raw(trimmed), nil
		}
	case slices.Contains(listColumns, name) && pythonList.MatchString(trimmed):
		return nil, wrong(name, "a list of messages as JSON", "one as Python prints it: "+quote(cell),
			"write the column with json.dumps")
	case refusedKeys[name] != "" && strictjson.Check([]byte(trimmed)) == nil:
		return strictjson.Raw(trimmed), nil
	case slices.Contains(jsonColumns, name):
		if err := strictjson.Check([]byte(trimmed)); err != nil {
			return nil, jsonCell(name, cell, err)
		}
		return strictjson.Raw(trimmed), nil
	case slices.Contains(listColumns, name) && isMessageList(trimmed):
		return strictjson.Raw(trimmed), nil
	}
	return text()
}

// jsonCell is the error of a cell that is no JSON.
func jsonCell(name, cell string, err error) error {
	var own *strictjson.Error
	if !errors.As(err, &own) {
		return err
	}
	return wrong(name, "JSON in the cell, such as [{\"role\": \"user\", \"content\": \"...\"}]",
		quote(cell)+" ("+own.Cause()+")", own.Mend)
}

// isMessageList tells a cell that is a list of messages as JSON from one that is text in brackets.
func isMessageList(cell string) bool {
	var list []map[string]strictjson.Raw
	if !strings.HasPrefix(cell, "[") && !strings.HasPrefix(cell, "{") {
		return false
	}
	if strings.HasPrefix(cell, "{") {
		cell = "[" + cell + "]"
	}
	if strictjson.Unmarshal([]byte(cell), &list) != nil || len(list) == 0 {
		return false
	}
	for _, m := range list {
		if (m["role"] == nil || m["content"] == nil) && (m["from"] == nil || m["value"] == nil) {
			return false
		}
	}
	return true
}
