package pyfunc

import (
	gobytes "bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

var datasetMethods = map[string]method{
	"map": datasetMap, "filter": datasetFilter, "select": datasetSelect, "remove_columns": datasetRemove,
	"rename_column": datasetRename,
}

var datasetsModule = map[string]any{
	"Dataset": &module{"datasets.Dataset", map[string]any{
		"from_list": &builtin{"from_list", fromList}, "from_dict": &builtin{"from_dict", fromDict},
	}},
}

// columns lists the names of the columns, in the order in which rows have them.
func (d *dataset) columns() *list {
	seen, out := newDict(), &list{}
	for _, r := range d.rows {
		for _, k := range r.keys() {
			seen.setText(str(k), nil)
		}
	}
	out.items = seen.keys()
	return out
}

func (d *dataset) column(name string) (any, error) {
	out := &list{}
	for _, r := range d.rows {
		v, ok, err := r.get(name)
		if err != nil || !ok {
			return nil, raise("KeyError", "%q", name)
		}
		out.items = append(out.items, copied(v))
	}
	return out, nil
}

// levelled gives every row all columns: what a row lacks is None, as in a table.
func (d *dataset) levelled() *dataset {
	columns := d.columns().items
	for _, r := range d.rows {
		if r.len() == len(columns) {
			continue
		}
		for _, k := range columns {
			if _, ok, _ := r.get(k); !ok {
				r.setText(str(k), nil)
			}
		}
	}
	return d
}

// datasetMap puts what a function gives of a row in the place of its columns.
func datasetMap(m *machine, self any, c arguments) (any, error) {
	a, err := c.take("map", 1, "function", "remove_columns", "load_from_cache_file", "num_proc", "desc", "with_indices")
	if err != nil {
		return nil, err
	}
	if given(a[5]) && truth(a[5]) {
		return nil, errors.New("map(with_indices=True) is not supported")
	}
	var gone []any
	if given(a[1]) && a[1] != nil {
		if s, ok := a[1].(string); ok {
			gone = []any{s}
		} else if gone, err = iterate(a[1]); err != nil {
			return nil, err
		}
	}
	d := self.(*dataset)
	out := &dataset{lines: d.lines}
	for _, r := range d.rows {
		v, err := m.call(a[0], arguments{args: []any{copied(r)}})
		if err != nil {
			return nil, err
		}
		row := r.copy()
		for _, k := range gone {
			if _, _, err := row.remove(k); err != nil {
				return nil, err
			}
		}
		switch more := v.(type) {
		case nil:
		case *dict:
			for _, e := range more.all() {
				if err := row.set(e.key, e.value); err != nil {
					return nil, err
				}
			}
		default:
			return nil, fmt.Errorf("map(): the function gives a %s: want a dict", kindOf(v))
		}
		out.rows = append(out.rows, row)
	}
	return out.levelled(), nil
}

func datasetFilter(m *machine, self any, c arguments) (any, error) {
	a, err := c.take("filter", 1, "function", "load_from_cache_file", "num_proc", "desc")
	if err != nil {
		return nil, err
	}
	d := self.(*dataset)
	out := &dataset{}
	for i, r := range d.rows {
		v, err := m.call(a[0], arguments{args: []any{copied(r)}})
		if err != nil {
			return nil, err
		}
		if truth(v) {
			out.rows, out.lines = append(out.rows, r), append(out.lines, d.lines[i])
		}
	}
	return out, nil
}

func datasetSelect(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("select", 1, "indices")
	if err != nil {
		return nil, err
	}
	items, err := iterate(a[0])
	if err != nil {
		return nil, err
	}
	d := self.(*dataset)
	out := &dataset{}
	for _, v := range items {
		i, ok := v.(int)
		if !ok {
			return nil, raise("TypeError", "select() wants row numbers")
		}
		if i, err = index(i, len(d.rows), "dataset"); err != nil {
			return nil, err
		}
		out.rows, out.lines = append(out.rows, d.rows[i]), append(out.lines, d.lines[i])
	}
	return out, nil
}

func datasetRemove(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("remove_columns", 1, "column_names")
	if err != nil {
		return nil, err
	}
	names := []any{a[0]}
	if _, ok := a[0].(string); !ok {
		if names, err = iterate(a[0]); err != nil {
			return nil, err
		}
	}
	d := self.(*dataset)
	out := &dataset{lines: d.lines}
	for _, r := range d.rows {
		row := r.copy()
		for _, k := range names {
			if _, _, err := row.remove(k); err != nil {
				return nil, err
			}
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}

func datasetRename(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("rename_column", 2, "original_column_name", "new_column_name")
	if err != nil {
		return nil, err
	}
	d := self.(*dataset)
	out := &dataset{lines: d.lines}
	for _, r := range d.rows {
		row := newDict()
		for _, e := range r.all() {
			if equal(e.key, a[0]) {
				e.key = a[1]
			}
			if err := row.set(e.key, e.value); err != nil {
				return nil, err
			}
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}

// tableOf makes a table of rows that a function wrote.
func tableOf(items []any) (*dataset, error) {
	out := &dataset{}
	for i, v := range items {
		r, ok := v.(*dict)
		if !ok {
			return nil, raise("TypeError", "a row of a table is a %s: want a dict", kindOf(v))
		}
		out.rows, out.lines = append(out.rows, r.copy()), append(out.lines, i+1)
	}
	return out.levelled(), nil
}

func fromList(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "from_list")
	if err != nil {
		return nil, err
	}
	return tableOf(items)
}

func fromDict(_ *machine, c arguments) (any, error) {
	a, err := c.take("from_dict", 1, "mapping")
	if err != nil {
		return nil, err
	}
	d, ok := a[0].(*dict)
	if !ok {
		return nil, raise("TypeError", "from_dict() wants a dict of columns")
	}
	var rows []any
	for _, e := range d.all() {
		column, err := iterate(e.value)
		if err != nil {
			return nil, err
		}
		if rows == nil {
			for range column {
				rows = append(rows, newDict())
			}
		}
		if len(column) != len(rows) {
			return nil, raise("ValueError", "the columns are not of the same length")
		}
		for i, v := range column {
			rows[i].(*dict).setText(str(e.key), v)
		}
	}
	return tableOf(rows)
}

// fromJSON reads a JSON text, its objects in their order.
func fromJSON(s string) (any, error) {
	dec := json.NewDecoder(gobytes.NewReader([]byte(s)))
	dec.UseNumber()
	v, err := jsonValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more text behind the JSON value")
	}
	return v, nil
}

func jsonValue(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch x := t.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return int(i), nil
		}
		return x.Float64()
	case json.Delim:
		if x == '[' {
			out := &list{}
			for dec.More() {
				v, err := jsonValue(dec)
				if err != nil {
					return nil, err
				}
				out.items = append(out.items, v)
			}
			_, err := dec.Token()
			return out, err
		}
		out := newDict()
		for dec.More() {
			k, err := jsonValue(dec)
			if err != nil {
				return nil, err
			}
			v, err := jsonValue(dec)
			if err != nil {
				return nil, err
			}
			out.setText(str(k), v)
		}
		_, err := dec.Token()
		return out, err
	}
	return t, nil
}
