package data

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/strictjson"
)

// shape is a format whose rows are objects with named fields, in JSON, parquet, CSV or TSV: what
// people have data of their own in.
type shape struct {
	format Format
	// needs: one column of each group has to be there.
	needs [][]string
	// more are the other columns that it reads.
	more []string
	// only, where it is not nil, tells by the first row whether its columns hold what they have to.
	only func(keys rowKeys) bool
	// yields are the shapes that take a row of this one as well, and mean less by it.
	yields []Format
}

// rowKeys are the fields of a row by the names that steer knows.
type rowKeys map[string]strictjson.Raw

// given holds for a column that says something.
func (k rowKeys) given(name string) bool { return k[name] != nil && !isEmpty(k[name]) }

// The groups of columns that several shapes have.
var (
	anyPrompt = []string{"prompt", "instruction"}
	anyAnswer = []string{"completion", "response", "output"}
)

// shapes are told apart in this order; what an earlier one yields is not what a later one has.
var shapes = []shape{
	{format: FormatTokenPairs, needs: [][]string{{"chosen_ids"}, {"rejected_ids"}}, more: []string{"margin"}},
	{format: FormatTokens, needs: [][]string{{"ids"}}, more: []string{"mask"}},
	{format: FormatPairs, needs: [][]string{{"chosen"}, {"rejected"}}, more: []string{"prompt", "instruction", "input",
		"conversations", "messages", "system", "margin", "role", "content", "from", "value"}},
	{format: FormatRanked, needs: [][]string{anyPrompt, {"responses", "answers"}}, more: []string{"input", "scores",
		"ranks", "policies", "id", "system", "role", "content"}, only: isRanked},
	{format: FormatKTO, needs: [][]string{anyPrompt, anyAnswer, {"label"}}, more: []string{"input", "system", "role",
		"content"}, only: isLabelled, yields: []Format{FormatCompletion, FormatAlpaca}},
	{format: FormatChat, needs: [][]string{{"messages"}}, more: []string{"system", "role", "content", "from", "value"}},
	{format: FormatShareGPT, needs: [][]string{{"conversations"}}, more: []string{"system", "role", "content", "from",
		"value"}},
	{format: FormatCompletion, needs: [][]string{{"prompt"}, {"completion", "response"}}, more: []string{"system",
		"role", "content"}},
	{format: FormatAlpaca, needs: [][]string{{"instruction"}, {"output"}}, more: []string{"input", "system",
		"history"}},
	{format: FormatPrompts, needs: [][]string{anyPrompt}, more: []string{"input", "system", "role", "content"},
		only: isAsked},
}

func shapeOf(format Format) (shape, bool) {
	i := slices.IndexFunc(shapes, func(s shape) bool { return s.format == format })
	if i < 0 {
		return shape{}, false
	}
	return shapes[i], true
}

// columns lists what a shape reads, what it needs first.
func (s shape) columns() []string {
	return slices.Concat(slices.Concat(s.needs...), s.more)
}

// shapeColumns are the columns of a format, or, if none is named, of all shapes.
func shapeColumns(format Format) []string {
	var out []string
	for _, s := range shapes {
		if format != "" && format != FormatAuto && s.format != format {
			continue
		}
		for _, c := range s.columns() {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// ColumnNames are the columns that the formats of conversations and preferences have.
func ColumnNames() []string { return shapeColumns(FormatAuto) }

// isRanked holds where the answers are a list.
func isRanked(keys rowKeys) bool {
	return strictjson.Kind(keys["responses"]) == '[' || strictjson.Kind(keys["answers"]) == '['
}

// isLabelled holds where the label is one of good or bad; a text, or a class of several, is not.
// Instruction and output have labels of other kinds too often: there format: kto says it.
func isLabelled(keys rowKeys) bool {
	_, ok := zeroOrOne(keys["label"])
	return ok && keys["prompt"] != nil && keys["output"] == nil
}

// isAsked holds where the prompt is a text or a list.
func isAsked(keys rowKeys) bool {
	kind := strictjson.Kind(keys["prompt"])
	if keys["prompt"] == nil {
		kind = strictjson.Kind(keys["instruction"])
	}
	return kind == '"' || kind == '['
}

// fits tells whether a row has the columns of a shape; there says which count.
func (s shape) fits(keys rowKeys, there func(name string) bool) bool {
	for _, group := range s.needs {
		if !slices.ContainsFunc(group, there) {
			return false
		}
	}
	return s.only == nil || s.only(keys)
}

// readings are the shapes that a row may be of: by the columns that say something, or, if none is,
// by those that there are. Prompts are a reading only where there is no other.
func readings(keys rowKeys) []Format {
	for _, there := range []func(string) bool{keys.given, func(n string) bool { return keys[n] != nil }} {
		var out, yielded []Format
		for _, s := range shapes {
			if slices.Contains(yielded, s.format) || s.format == FormatPrompts && len(out) > 0 ||
				!s.fits(keys, there) {
				continue
			}
			out = append(out, s.format)
			yielded = append(yielded, s.yields...)
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// AmbiguousError: the columns of a file are those of several formats.
type AmbiguousError struct {
	Path     string
	Readings []Format
}

// Error names the readings and the key that decides.
func (e *AmbiguousError) Error() string {
	var as, keys []string
	for _, f := range e.Readings {
		as = append(as, f.Title())
		keys = append(keys, "format: "+string(f))
	}
	return fmt.Sprintf("data: %s: its columns can be read in %d ways: as %s; write which: %s", e.Path, len(as),
		strings.Join(as, ", or as "), strings.Join(keys, ", or "))
}

// choose takes the one reading of a row that is wanted; nil wants any. note says that there were others.
func (d detection) choose(wanted []Format) (format Format, note string, err error) {
	left := slices.DeleteFunc(slices.Clone(d.readings), func(f Format) bool {
		return wanted != nil && !slices.Contains(wanted, f)
	})
	switch {
	case len(left) == 0:
		return d.readings[0], "", nil
	case len(left) > 1:
		return "", "", &AmbiguousError{Path: d.path, Readings: left}
	case len(d.readings) > 1:
		var others []string
		for _, f := range d.readings {
			if f != left[0] {
				others = append(others, string(f))
			}
		}
		note = fmt.Sprintf("it is read as %s; its columns are those of %s too (format: %s would say so)", left[0],
			strings.Join(others, " and "), others[0])
	}
	return left[0], note, nil
}

// why says what a format was recognised by.
func (d detection) why(format Format, columns Columns) string {
	form, ok := shapeOf(format)
	if !ok || d.keys == nil {
		return "recognised by its content"
	}
	var has []string
	for _, group := range form.needs {
		i := max(0, slices.IndexFunc(group, func(n string) bool { return d.keys[n] != nil }))
		has = append(has, columns.in(group[i]))
	}
	return "its first row has " + strings.Join(has, ", ")
}

// otherNames are names that files have for columns of prompt and completion, of pairs and of messages; they
// are never read by themselves, since they may mean something else.
var otherNames = []struct {
	name  string
	files []string
}{
	{"messages", []string{"conversation", "dialog", "dialogue", "chat", "turns", "message"}},
	{"prompt", []string{"question", "query", "q", "user", "human", "problem", "input", "text", "ask", "context"}},
	{"completion", []string{"answer", "a", "response", "output", "reply", "target", "assistant", "solution"}},
	{"chosen", []string{"accepted", "preferred", "better", "winner", "positive", "good", "response_chosen"}},
	{"rejected", []string{"dispreferred", "worse", "loser", "negative", "bad", "response_rejected"}},
}

// suggestColumns proposes columns for names that no shape has, "" if none come to mind.
func suggestColumns(names []string) string {
	found := map[string]string{}
	for _, o := range otherNames {
		for _, file := range o.files {
			i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, file) })
			if i >= 0 && found[o.name] == "" {
				found[o.name] = names[i]
			}
		}
		if found[o.name] == "" && slices.Contains(names, o.name) {
			found[o.name] = o.name
		}
	}
	list := func(keys ...string) string {
		var parts []string
		for _, k := range keys {
			if found[k] != k {
				parts = append(parts, k+": "+found[k])
			}
		}
		if len(parts) == 0 {
			return ""
		}
		return "if that is what they mean, write columns: {" + strings.Join(parts, ", ") + "}, or --columns " +
			strings.ReplaceAll(parts[0], ": ", "=") + " and so on"
	}
	switch {
	case found["messages"] != "":
		return list("messages")
	case found["chosen"] != "" && found["rejected"] != "" && found["prompt"] != "":
		return list("prompt", "chosen", "rejected")
	case found["chosen"] != "" && found["rejected"] != "":
		return list("chosen", "rejected")
	case found["prompt"] != "" && found["completion"] != "":
		return list("prompt", "completion")
	case found["prompt"] != "":
		return list("prompt")
	}
	return ""
}
