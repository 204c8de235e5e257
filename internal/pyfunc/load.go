package pyfunc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"steer/internal/ordered"
)

// Module is a file of Python, as far as it was understood.
type Module struct {
	path string
	// root is the folder of lm_eval.tasks, "" for none.
	root string
	top  *scope
	// files are those that it imports, by path; shared among them.
	files map[string]*Module
	read  *[]string
}

// Load reads a file and those that it imports. root is the folder that "lm_eval.tasks" means, ""
// without one. An error is one of reading; what is not understood is refused by [Module.Function].
func Load(path, root string) (*Module, error) {
	return load(path, root, map[string]*Module{}, &[]string{})
}

func load(path, root string, files map[string]*Module, read *[]string) (*Module, error) {
	if m, ok := files[path]; ok {
		return m, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Module{path: path, root: root, files: files, read: read}
	m.top = &scope{vars: map[string]any{}, file: m}
	files[path] = m
	*read = append(*read, path)
	tokens, err := lex(string(raw), 1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, n := range (&parser{t: tokens}).file() {
		m.execute(n)
	}
	return m, nil
}

// Files are the files that were read, in order.
func (f *Module) Files() []string { return *f.read }

// execute runs a statement of the file itself. If it fails, what it would define is poison.
func (f *Module) execute(n node) {
	if x, ok := n.(*unreadable); ok {
		for _, id := range x.ids {
			if _, known := f.top.vars[id]; !known {
				f.top.vars[id] = &poison{x.err}
			}
		}
		return
	}
	if x, ok := n.(*expression); ok && f.updatesGlobals(x) {
		return
	}
	if _, err := (&machine{}).exec(n, f.top); err != nil {
		for _, id := range bound(n) {
			f.top.vars[id] = &poison{fmt.Errorf("%s: %w", filepath.Base(f.path), err)}
		}
	}
}

// updatesGlobals runs globals().update(...), by which some files define functions in a loop.
func (f *Module) updatesGlobals(x *expression) bool {
	c, ok := x.x.(*call)
	if !ok || len(c.args) != 1 {
		return false
	}
	a, ok := c.fn.(*attribute)
	if !ok || a.id != "update" {
		return false
	}
	g, ok := a.x.(*call)
	if !ok {
		return false
	}
	if id, ok := g.fn.(*name); !ok || id.id != "globals" {
		return false
	}
	v, err := (&machine{}).eval(c.args[0], f.top)
	if d, ok := v.(*dict); ok && err == nil {
		for _, e := range d.all() {
			f.top.vars[str(e.key)] = e.value
		}
	}
	return true
}

// find gives the members of a module: one of those known, or a file beside this one or below the
// root.
func (f *Module) find(module string) (map[string]any, error) {
	if m, ok := modules[module]; ok {
		return m, nil
	}
	refused := fmt.Errorf("the module %s is not supported", module)
	path := ""
	switch {
	case strings.HasPrefix(module, "lm_eval.tasks.") && f.root != "":
		path = filepath.Join(f.root, filepath.FromSlash(strings.ReplaceAll(module[len("lm_eval.tasks."):], ".", "/")))
	case strings.HasPrefix(module, "."):
		dots := len(module) - len(strings.TrimLeft(module, "."))
		path = filepath.Dir(f.path)
		for range dots - 1 {
			path = filepath.Dir(path)
		}
		path = filepath.Join(path, filepath.FromSlash(strings.ReplaceAll(module[dots:], ".", "/")))
	case !strings.Contains(module, "."):
		path = filepath.Join(filepath.Dir(f.path), module)
	default:
		return nil, refused
	}
	other, err := load(path+".py", f.root, f.files, f.read)
	if errors.Is(err, os.ErrNotExist) {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	return other.top.vars, nil
}

// Function is a function of a file that can be called.
type Function struct {
	name  string
	path  string
	value any
}

// Function gives a function by its name, and refuses one that uses what is not understood.
func (f *Module) Function(name string) (*Function, error) {
	v, ok := f.top.vars[name]
	if !ok {
		return nil, fmt.Errorf("%s: there is no function %s", f.path, name)
	}
	if err := newChecker().value(v); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", f.path, name, err)
	}
	switch v.(type) {
	case *function, *builtin:
		return &Function{name, f.path, v}, nil
	}
	return nil, fmt.Errorf("%s: %s is a %s: want a function", f.path, name, kindOf(v))
}

// Value calls the function on one row and gives what it gives, as values of rows.
func (f *Function) Value(row *ordered.Map) (any, error) { return f.Call(row) }

// Call calls the function on values of rows, and gives one.
func (f *Function) Call(args ...any) (any, error) {
	var c arguments
	for _, a := range args {
		v, err := inside(a)
		if err != nil {
			return nil, f.fail(err)
		}
		c.args = append(c.args, v)
	}
	v, err := (&machine{}).call(f.value, c)
	if err != nil {
		return nil, f.fail(err)
	}
	if v, err = outside(v); err != nil {
		return nil, f.fail(err)
	}
	return v, nil
}

func (f *Function) fail(err error) error { return fmt.Errorf("%s: %s: %w", f.path, f.name, err) }

// Row is a row of a table, with the line that it is from.
type Row struct {
	Line   int
	Fields *ordered.Map
}

// Rows calls the function on a whole table, as process_docs is called.
func (f *Function) Rows(rows []Row) ([]Row, error) {
	in := &dataset{}
	for _, r := range rows {
		d, err := inside(r.Fields)
		if err != nil {
			return nil, f.fail(err)
		}
		in.rows, in.lines = append(in.rows, d.(*dict)), append(in.lines, r.Line)
	}
	m := &machine{steps: -maxSteps * (1 + len(rows)/100)} // a table may take its time
	v, err := m.call(f.value, arguments{args: []any{in.levelled()}})
	if err != nil {
		return nil, f.fail(err)
	}
	out, ok := v.(*dataset)
	if l, isList := v.(*list); isList {
		if out, err = tableOf(l.items); err != nil {
			return nil, f.fail(err)
		}
		ok = true
	}
	if !ok {
		return nil, f.fail(fmt.Errorf("gives a %s: want the rows", kindOf(v)))
	}
	result := make([]Row, len(out.rows))
	for i, r := range out.rows {
		fields, err := outside(r)
		if err != nil {
			return nil, f.fail(fmt.Errorf("row %d: %w", i, err))
		}
		result[i] = Row{out.lines[i], fields.(*ordered.Map)}
	}
	return result, nil
}

// Samples calls a function without arguments that gives rows, as fewshot_config.samples may be.
func (f *Function) Samples() ([]*ordered.Map, error) {
	v, err := (&machine{}).call(f.value, arguments{})
	if err != nil {
		return nil, f.fail(err)
	}
	items, err := iterate(v)
	if err != nil {
		return nil, f.fail(err)
	}
	var out []*ordered.Map
	for _, e := range items {
		x, err := outside(e)
		row, ok := x.(*ordered.Map)
		if err != nil || !ok {
			return nil, f.fail(errors.Join(err, errors.New("want a list of rows")))
		}
		out = append(out, row)
	}
	return out, nil
}
