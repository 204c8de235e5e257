package task

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"steer/internal/conf"
	"steer/internal/jinja"
	"steer/internal/ordered"
	"steer/internal/pyfunc"
	"steer/rl/data"
)

// Item is a row of the data as the task asks it. The texts hold no target delimiter.
type Item struct {
	ID        string
	Row, Line int // 0-based row and 1-based line of the data file
	// Contexts is one, or one a choice where the choices are contexts ("partial
	// evaluation"): Continuations is then one.
	Contexts, Continuations []string
	Choices                 []string
	Gold                    int // index into Choices
	// Targets are the right answers of generate_until, the one text of loglikelihood.
	Targets []string
	// Document is the row, for functions.
	Document *ordered.Map
	// Delimiter stands before a continuation.
	Delimiter string
	// Chats are the contexts as conversations, where they are asked for as such; one that ends
	// with the assistant begins its answer.
	Chats [][]data.Message
}

// Fixed lists the choices if they are the same for every row: they are classes.
func (t *Task) Fixed() []string { return t.choice.list }

// Files are the files that the task reads besides its own.
func (t *Task) Files() []string {
	out := append([]string{t.Data}, t.included...)
	if t.shots != "" && t.shots != t.Data {
		out = append(out, t.shots)
	}
	return out
}

// row is a row of a data file while it is rendered.
type row struct {
	data.Row
	task  *Task
	file  string
	known map[string]bool // fields of any row
}

func (r *row) vars() map[string]any {
	vars := make(map[string]any, r.Fields.Len()+1)
	for k, v := range r.Fields.All() {
		vars[k] = usable(v)
	}
	if _, taken := vars["doc"]; !taken {
		vars["doc"] = usable(r.Fields)
	}
	return vars
}

// usable puts what a template may hold but not use in the place of values that cannot be
// given exactly.
func usable(v any) any {
	switch x := v.(type) {
	case data.Unreadable:
		return jinja.Unusable(string(x))
	case pyfunc.Unusable: // it went through process_docs
		return jinja.Unusable(string(x))
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = usable(x[i])
		}
		return out
	case *ordered.Map:
		out := ordered.New(x.Len())
		for k, e := range x.All() {
			out.Set(k, usable(e))
		}
		return out
	}
	return v
}

// same is Python's == on the values of a row.
func same(a, b any) bool {
	x, isMap := a.(*ordered.Map)
	y, both := b.(*ordered.Map)
	if isMap || both {
		return isMap && both && ordered.Equal(x, y, same)
	}
	l, isList := a.([]any)
	m, both := b.([]any)
	if isList || both {
		return isList && both && slices.EqualFunc(l, m, same)
	}
	return a == b
}

func (r *row) names() string { return strings.Join(slices.Sorted(maps.Keys(r.known)), ", ") }

// fail is an error of a field on this row.
func (r *row) fail(f *field, format string, args ...any) error {
	return &conf.Error{File: r.task.Path, Line: f.line, Key: f.key,
		Msg: fmt.Sprintf("on %s line %d: ", filepath.Base(r.file), r.Line) + fmt.Sprintf(format, args...)}
}

// template is fail for an error of a template; what is not defined is likely misspelt.
func (r *row) template(f *field, err error) error {
	if strings.Contains(err.Error(), "not defined") || strings.Contains(err.Error(), "no element") {
		return r.fail(f, "%v; the fields are %s", err, r.names())
	}
	return r.fail(f, "%v", err)
}

// table reads a data file, and what a function makes of its rows, if there is one.
func (t *Task) table(path string, process *pyfunc.Function) ([]*row, error) {
	table, err := data.ReadTable(path, t.Format)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.Name, err)
	}
	read := table.Rows
	if process != nil {
		if read, err = processed(process, read); err != nil {
			return nil, &conf.Error{File: t.Path, Key: "process_docs",
				Msg: fmt.Sprintf("on %s: %v", filepath.Base(path), err)}
		}
		if len(read) == 0 {
			return nil, &conf.Error{File: t.Path, Key: "process_docs",
				Msg: fmt.Sprintf("keeps none of the %d rows of %s", len(table.Rows), path)}
		}
	}
	known := map[string]bool{}
	rows := make([]*row, len(read))
	for i, r := range read {
		for k := range r.Fields.All() {
			known[k] = true
		}
		rows[i] = &row{Row: r, task: t, file: table.Path, known: known}
	}
	return rows, nil
}

// processed gives what a function makes of all rows.
func processed(process *pyfunc.Function, rows []data.Row) ([]data.Row, error) {
	in := make([]pyfunc.Row, len(rows))
	for i, r := range rows {
		in[i] = pyfunc.Row{Line: r.Line, Fields: document(r.Fields)}
	}
	got, err := process.Rows(in)
	if err != nil {
		return nil, err
	}
	out := make([]data.Row, len(got))
	for i, r := range got {
		out[i] = data.Row{Line: r.Line, Fields: r.Fields}
	}
	return out, nil
}

// document is a row as functions take it.
func (r *row) document() *ordered.Map { return document(r.Fields) }

func document(fields *ordered.Map) *ordered.Map {
	var convert func(v any) any
	convert = func(v any) any {
		switch x := v.(type) {
		case data.Unreadable:
			return pyfunc.Unusable(string(x))
		case []any:
			out := make([]any, len(x))
			for i := range x {
				out[i] = convert(x[i])
			}
			return out
		case *ordered.Map:
			out := ordered.New(x.Len())
			for k, e := range x.All() {
				out.Set(k, convert(e))
			}
			return out
		}
		return v
	}
	return convert(fields).(*ordered.Map)
}

// Delimiter is the task's target_delimiter, or the one of the evaluation.
func (t *Task) Delimiter(otherwise string) string {
	if t.TargetDelimiter != nil {
		return *t.TargetDelimiter
	}
	return otherwise
}

// Items reads the data and renders the measured rows.
func (t *Task) Items(a Asking) ([]Item, error) {
	rows, err := t.table(t.Data, t.process)
	if err != nil {
		return nil, err
	}
	if t.First >= len(rows) {
		return nil, &conf.Error{File: t.Path, Key: "first", Msg: fmt.Sprintf("want a row of %s, which holds %d, got %d",
			t.Data, len(rows), t.First)}
	}
	shots, err := t.examples(rows, a)
	if err != nil {
		return nil, err
	}
	last := len(rows)
	if t.Limit > 0 {
		last = min(last, t.First+t.Limit)
	}
	items := make([]Item, 0, last-t.First)
	seen := map[string]int{}
	for i, r := range rows[:last] {
		examples, err := shots(r) // drawn for rows before the first, too: a window changes no prompt
		if err != nil {
			return nil, err
		}
		if i < t.First {
			continue
		}
		before, err := t.system(r, a)
		if err != nil {
			return nil, err
		}
		item, err := t.item(i, r, append(before, examples...), a)
		if err != nil {
			return nil, err
		}
		if line, again := seen[item.ID]; again {
			return nil, r.fail(&t.id, "id %q is that of line %d too: ids tell items apart, want one for each row",
				item.ID, line)
		}
		seen[item.ID] = r.Line
		items = append(items, item)
	}
	return items, nil
}

// item renders one row; before is what stands in front of its own text.
func (t *Task) item(i int, r *row, before []message, a Asking) (Item, error) {
	it := Item{ID: fmt.Sprintf("%s-%d", t.Name, i), Row: i, Line: r.Line, Delimiter: t.answerDelimiter(a)}
	if t.Results != nil {
		it.Document = r.document()
	}
	if t.hasID {
		v, err := t.id.on(r)
		if err != nil {
			return it, err
		}
		it.ID = fmt.Sprint(v)
	}
	if t.Output == Rolling {
		return it, t.whole(&it, r)
	}
	text, err := t.textOf(&t.form, r)
	if err != nil {
		return it, err
	}
	target, err := t.targetOf(&t.form, r)
	if err != nil && t.Results == nil {
		return it, err
	}
	if t.hasChoice {
		if it.Choices, err = t.choicesOf(&t.form, r); err != nil {
			return it, err
		}
	}
	prefix, err := t.prefix.textOn(r)
	if err != nil {
		return it, err
	}
	if index, partial := text.(int); partial && t.Output == MultipleChoice {
		for _, c := range it.Choices {
			it.context(append(slices.Clone(before), question{text: c, prefix: prefix}.asked("", "")...), a)
		}
		it.Continuations = []string{fmt.Sprint(target)}
		it.Gold = index
		if t.Results != nil {
			return it, nil
		}
		return it, t.checkGold(r, &t.text, it)
	}
	asked := question{text: fmt.Sprint(text), prefix: prefix}.asked(t.Delimiter(a.Delimiter), "")
	it.context(append(slices.Clone(before), asked...), a)
	return it, t.answer(&it, r, target)
}

// whole is a row whose target is scored as a text of its own.
func (t *Task) whole(it *Item, r *row) error {
	target, err := t.target.on(r)
	if err != nil {
		return err
	}
	text, ok := target.(string)
	if !ok {
		return r.fail(&t.target, "want text, got %v", target)
	}
	it.Contexts, it.Targets, it.Continuations = []string{""}, []string{text}, []string{text}
	return nil
}

// context adds a context: as running text, and as a conversation where that is asked for.
func (it *Item) context(messages []message, a Asking) {
	it.Contexts = append(it.Contexts, plainText(messages))
	if a.Chat {
		it.Chats = append(it.Chats, chat(messages, a.Multiturn))
	}
}

// answer fills in what is right, and what is scored.
func (t *Task) answer(it *Item, r *row, target any) (err error) {
	switch t.Output {
	case MultipleChoice:
		it.Continuations = it.Choices
		if t.Results != nil {
			return nil // which is right is its business
		}
		if it.Gold, err = t.gold(r, target, it.Choices); err != nil {
			return err
		}
		return t.checkGold(r, &t.target, *it)
	case LogLikelihood:
		it.Targets = []string{fmt.Sprint(target)}
		it.Continuations = it.Targets
		if list, many := target.([]any); many || it.Targets[0] == "" {
			return r.fail(&t.target, "want one text that is not empty, got %v", list)
		}
	default:
		if t.Results == nil {
			it.Targets, err = t.answers(r, target, it.Choices)
		}
	}
	return err
}

func (t *Task) choicesOf(f *form, r *row) ([]string, error) {
	choices, err := f.choice.listOn(r)
	if err != nil {
		return nil, err
	}
	if len(choices) < 2 {
		return nil, r.fail(&f.choice, "want at least two choices, got %q", choices)
	}
	if i := slices.Index(choices, ""); i >= 0 {
		return nil, r.fail(&f.choice, "choice %d is empty: want text in %q", i, choices)
	}
	return choices, nil
}

// gold finds the right choice: an index, or the text of a choice.
func (t *Task) gold(r *row, target any, choices []string) (int, error) {
	switch x := target.(type) {
	case int:
		return x, nil
	case string:
		if i := slices.Index(choices, x); i >= 0 {
			return i, nil
		}
		return 0, r.fail(&t.target, "label %q is outside the set: want one of the choices %q, or their index from 0",
			x, choices)
	}
	return 0, r.fail(&t.target, "want one right choice, got the list %v: several are not supported for output_type %s",
		target, t.Output)
}

func (t *Task) checkGold(r *row, f *field, it Item) error {
	if it.Gold < 0 || it.Gold >= len(it.Choices) {
		return r.fail(f, "label %d is outside the set: want an index from 0 to %d, one of %q",
			it.Gold, len(it.Choices)-1, it.Choices)
	}
	return nil
}

// answers are the right answers of a generation.
func (t *Task) answers(r *row, target any, choices []string) ([]string, error) {
	switch x := target.(type) {
	case int:
		if choices == nil {
			return []string{fmt.Sprint(x)}, nil
		}
		if x < 0 || x >= len(choices) {
			return nil, r.fail(&t.target, "label %d is outside the set: want an index from 0 to %d, one of %q",
				x, len(choices)-1, choices)
		}
		return []string{choices[x]}, nil
	case []any:
		var out []string
		for _, e := range x {
			out = append(out, e.(string))
		}
		if len(out) == 0 {
			return nil, r.fail(&t.target, "want at least one right answer, got an empty list")
		}
		return out, nil
	}
	return []string{target.(string)}, nil
}
