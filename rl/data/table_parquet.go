package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// readTableParquet reads all columns of a parquet file, lists and structs included.
func readTableParquet(path string) (rows []Row, err error) {
	body, found, err := readAll(path, limits{fileBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	fail := func(err error) error {
		return &Error{Format: TableParquet, Path: found, Line: len(rows) + 1, Want: "a row", Mend: "fetch the file again", Err: fmt.Errorf("%w: %w", ErrMalformed, err)}
	}
	if !bytes.HasPrefix(body, []byte("PAR1")) {
		return nil, &Error{Format: TableParquet, Path: found, Want: "a parquet file", Got: quote(string(body[:min(len(body), 8)])), Mend: "name the format it has", Err: ErrWrongFormat}
	}
	defer func() { // the library may panic on a damaged file
		if p := recover(); p != nil {
			rows, err = nil, fail(fmt.Errorf("damaged: %v", p))
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, fail(err)
	}
	if f.NumRows() > MaxRows {
		return nil, &Error{Format: TableParquet, Path: found, Want: fmt.Sprintf("at most %d rows", MaxRows), Mend: "split the file", Err: ErrTooLarge}
	}
	reader := parquet.NewReader(f)
	defer reader.Close()
	kind := f.Schema().GoType()
	for {
		row := reflect.New(kind)
		err := reader.Read(row.Interface())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fail(err)
		}
		v, err := plainGo(row.Elem())
		if err != nil {
			return nil, fail(err)
		}
		rows = append(rows, Row{Line: len(rows) + 1, Fields: v.(map[string]any)})
	}
	if len(rows) == 0 {
		return nil, &Error{Format: TableParquet, Path: found, Want: "at least one row", Got: "none", Mend: "fetch the file again", Err: ErrEmpty}
	}
	return rows, nil
}

// plainGo turns what the parquet library built into the values of a Row.
func plainGo(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return plainGo(v.Elem())
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return int(v.Int()), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return string(v.Bytes()), nil
		}
		out := make([]any, v.Len())
		for i := range out {
			var err error
			if out[i], err = plainGo(v.Index(i)); err != nil {
				return nil, err
			}
		}
		return out, nil
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("parquet"), ",")
			if name == "" {
				name = v.Type().Field(i).Name
			}
			var err error
			if out[name], err = plainGo(v.Field(i)); err != nil {
				return nil, fmt.Errorf("column %s: %w", name, err)
			}
		}
		return unwrapList(out), nil
	}
	return nil, fmt.Errorf("values of type %s are not supported", v.Type())
}

// unwrapList turns the three-level form of a parquet list, {list: [{element: x}]}, into
// a list.
func unwrapList(m map[string]any) any {
	items, ok := m["list"].([]any)
	if !ok || len(m) != 1 {
		return m
	}
	out := make([]any, len(items))
	for i, item := range items {
		e, _ := item.(map[string]any)
		v, ok := e["element"]
		if !ok {
			v, ok = e["item"]
		}
		if !ok || len(e) != 1 {
			return m
		}
		out[i] = v
	}
	return out
}
