package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"steer/internal/ordered"
)

// Unreadable stands for a value that a Row cannot hold exactly: it says why, and using it
// is an error, having it is not.
type Unreadable string

// MarshalJSON makes a value of it that no reader takes for a text or a number.
func (u Unreadable) MarshalJSON() ([]byte, error) {
	return marshalJSON(ordered.Of("unreadable", string(u)))
}

// parquetFile is an opened parquet file whose claims about its own sizes were checked.
type parquetFile struct {
	*parquet.File
	format Format
	path   string
	row    int // 1-based, being read
}

// openParquet reads and checks a file. A file without rows is ErrEmpty.
func openParquet(path string, as Format) (f *parquetFile, err error) {
	body, found, err := readAll(path, limits{fileBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	f = &parquetFile{format: as, path: found}
	if !bytes.HasPrefix(body, []byte("PAR1")) {
		if len(body) == 0 {
			return nil, &Error{Format: as, Path: found, Want: "data", Got: "an empty file",
				Mend: "fetch the file again", Err: ErrEmpty}
		}
		if err := notInstead(as, found, body); err != nil {
			return nil, err
		}
		return nil, &Error{Format: as, Path: found, Want: "a parquet file",
			Got: quote(string(body[:min(len(body), 8)])), Mend: "name the format it has", Err: ErrWrongFormat}
	}
	if err := checkParquet(body); err != nil {
		return nil, f.fail(err)
	}
	defer f.recovered(&err)
	if f.File, err = parquet.OpenFile(bytes.NewReader(body), int64(len(body)), parquet.SkipPageIndex(true),
		parquet.SkipBloomFilters(true)); err != nil {
		return nil, f.fail(err)
	}
	switch n := f.NumRows(); {
	case n > MaxRows:
		return nil, &Error{Format: as, Path: found, Want: fmt.Sprintf("at most %d rows", MaxRows),
			Mend: "split the file", Err: ErrTooLarge}
	case n <= 0:
		return nil, &Error{Format: as, Path: found, Want: "at least one row", Got: "none", Mend: "fetch the file again",
			Err: ErrEmpty}
	}
	return f, nil
}

// recovered turns a panic of the library on a damaged file into an error.
func (f *parquetFile) recovered(err *error) {
	if p := recover(); p != nil {
		*err = f.fail(fmt.Errorf("damaged: %v", p))
	}
}

// fail reports a file that cannot be read.
func (f *parquetFile) fail(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	return &Error{Format: f.format, Path: f.path, Line: f.row, Want: "a whole parquet file",
		Mend: "fetch the file again", Err: fmt.Errorf("%w: %w", ErrMalformed, err)}
}

// each calls row for every row with its values in the order of the columns, at most most
// of them (0: all).
func (f *parquetFile) each(most int, row func(number int, fields *ordered.Map) error) (err error) {
	defer f.recovered(&err)
	f.row = 1
	if err := boundWidths(f.Root()); err != nil {
		return f.fail(err)
	}
	reader := parquet.NewReader(f.File)
	defer func() { err = errors.Join(err, reader.Close()) }()
	kind := f.Schema().GoType()
	for ; most == 0 || f.row <= most; f.row++ {
		v := reflect.New(kind)
		err := reader.Read(v.Interface())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.fail(err)
		}
		fields, err := f.group(v.Elem(), f.Schema(), "")
		if err != nil {
			return f.fail(err)
		}
		if err := row(f.row, fields); err != nil {
			return err
		}
	}
	return nil
}

// boundWidths refuses columns whose every value is claimed to be huge.
func boundWidths(node parquet.Node) error {
	if node.Leaf() {
		if t := node.Type(); t.Kind() == parquet.FixedLenByteArray && (t.Length() < 0 || t.Length() > 1<<16) {
			return fmt.Errorf("%w: values of %d bytes each", errParquetClaim, t.Length())
		}
		return nil
	}
	for _, field := range node.Fields() {
		if err := boundWidths(field); err != nil {
			return err
		}
	}
	return nil
}

// readTableParquet reads all columns of a parquet file, lists and structs included.
func readTableParquet(path string) ([]Row, error) {
	f, err := openParquet(path, TableParquet)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, 0, f.NumRows())
	err = f.each(0, func(number int, fields *ordered.Map) error {
		rows = append(rows, Row{Line: number, Fields: fields})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// group turns what the library built for a group of columns into a map, in the order of
// the schema.
func (f *parquetFile) group(v reflect.Value, node parquet.Node, path string) (*ordered.Map, error) {
	fields := node.Fields()
	out := ordered.New(len(fields))
	for i, field := range fields {
		value, err := f.value(v.Field(i), field, strings.TrimPrefix(path+"."+field.Name(), "."))
		if err != nil {
			return nil, err
		}
		out.Set(field.Name(), value)
	}
	return out, nil
}

// value turns one value into what a Row holds.
func (f *parquetFile) value(v reflect.Value, node parquet.Node, path string) (any, error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, nil
		}
		return f.value(v.Elem(), node, path)
	}
	if node.Repeated() && v.Kind() == reflect.Slice {
		out := make([]any, v.Len())
		for i := range out {
			var err error
			if out[i], err = f.single(v.Index(i), node, path); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return f.single(v, node, path)
}

func (f *parquetFile) single(v reflect.Value, node parquet.Node, path string) (any, error) {
	if node.Leaf() {
		return f.leaf(v, node, path)
	}
	if v.Kind() != reflect.Struct {
		return Unreadable(fmt.Sprintf("column %q is of a kind that is not supported (a map)", path)), nil
	}
	m, err := f.group(v, node, path)
	if err != nil {
		return nil, err
	}
	return unwrapList(m), nil
}

// leaf gives a value exactly, or says that it cannot be given so.
func (f *parquetFile) leaf(v reflect.Value, node parquet.Node, path string) (any, error) {
	not := func(what string) (any, error) {
		return Unreadable(fmt.Sprintf("column %q holds %s, which are not read: write them as text or as numbers", path,
			what)), nil
	}
	var logical format.LogicalTypeValue
	if l := node.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.DecimalType:
		return decimalOf(v, int(l.Scale), path)
	case *format.TimestampType, *format.DateType, *format.TimeType:
		return not("dates or times")
	case *format.Float16Type:
		return not("numbers of 16 bits")
	case *format.UUIDType:
		return not("UUIDs")
	case *format.IntType:
		if !l.IsSigned {
			return unsigned(v, int(l.BitWidth), path)
		}
	}
	if converted := node.Type().ConvertedType(); logical == nil && converted != nil { // older writers
		switch c := *converted; {
		case c >= deprecated.Uint8 && c <= deprecated.Uint64:
			return unsigned(v, 8<<(c-deprecated.Uint8), path)
		case c == deprecated.Decimal:
			return not("decimals of an older kind")
		case c == deprecated.Date || c >= deprecated.TimeMillis && c <= deprecated.TimestampMicros ||
			c == deprecated.Interval:
			return not("dates or times")
		}
	}
	switch v.Kind() {
	case reflect.String:
		return f.text(v.String(), path)
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return int(v.Int()), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return unsigned(v, 64, path)
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return f.text(string(v.Bytes()), path)
		}
	}
	return not("values of a type that is not supported (" + strings.ToLower(node.Type().String()) + ")")
}

func (f *parquetFile) text(s, path string) (any, error) {
	if !utf8.ValidString(s) {
		return nil, &Error{Format: f.format, Path: f.path, Line: f.row, Field: path, Want: "UTF-8",
			Got:  quote(strings.ToValidUTF8(s, "�")),
			Mend: "write the column as UTF-8 text, or leave it out", Err: ErrNotUTF8}
	}
	return s, nil
}

// unsigned reads the bits of a whole number without a sign; the library gives some of
// them with one.
func unsigned(v reflect.Value, bits int, path string) (any, error) {
	var u uint64
	if v.CanUint() {
		u = v.Uint()
	} else {
		u = uint64(v.Int())
	}
	if bits < 64 {
		u &= 1<<bits - 1
	}
	if u > math.MaxInt {
		return Unreadable(fmt.Sprintf("column %q holds %d, a whole number beyond 64 bits with a sign", path, u)), nil
	}
	return int(u), nil
}

// decimalOf gives a decimal that is a whole number as one, any other not: as a float it
// would be rounded.
func decimalOf(v reflect.Value, scale int, path string) (any, error) {
	z := new(big.Int)
	switch {
	case v.CanInt():
		z.SetInt64(v.Int())
	case v.Kind() == reflect.Array || v.Kind() == reflect.Slice:
		raw := make([]byte, v.Len())
		for i := range raw {
			raw[i] = byte(v.Index(i).Uint())
		}
		z.SetBytes(raw) // big-endian two's complement
		if len(raw) > 0 && raw[0] >= 0x80 {
			z.Sub(z, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
		}
	default:
		return Unreadable(fmt.Sprintf("column %q holds decimals of a form that is not supported", path)), nil
	}
	if scale > 0 && scale <= 1000 {
		rest := new(big.Int)
		z.QuoRem(z, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil), rest)
		if rest.Sign() != 0 {
			return Unreadable(fmt.Sprintf("column %q holds decimals with a fraction, which as numbers would be "+
				"rounded: write them as text or as floats", path)), nil
		}
	}
	if !z.IsInt64() || scale < 0 || scale > 1000 {
		return Unreadable(fmt.Sprintf("column %q holds a decimal beyond 64 bits", path)), nil
	}
	return int(z.Int64()), nil
}

// unwrapList turns the three-level form of a parquet list, {list: [{element: x}]}, into
// a list; the names differ between writers.
func unwrapList(m *ordered.Map) any {
	if m.Len() != 1 {
		return m
	}
	name := m.Keys()[0]
	value, _ := m.Get(name)
	items, ok := value.([]any)
	switch {
	case !ok:
		return m
	case name == "array": // the two-level form of older writers
		return items
	case name != "list" && name != "bag":
		return m
	}
	out := make([]any, len(items))
	for i, item := range items {
		e, isGroup := item.(*ordered.Map)
		if !isGroup || e.Len() != 1 {
			return m
		}
		key := e.Keys()[0]
		if key != "element" && key != "item" && key != "array_element" && key != "array" {
			return m
		}
		out[i], _ = e.Get(key)
	}
	return out
}
