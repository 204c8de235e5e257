package strictjson

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"steer/internal/ordered"
)

// Raw is a JSON value as it is written.
type Raw = jsontext.Value

// Unmarshal fills v from the one JSON value that text holds. Fields take their names from
// the tag json; other keys are passed over, or kept by a field with the tag
// `json:",unknown"`. The error is an *Error.
func Unmarshal(text []byte, v any) error {
	if err := Check(text); err != nil {
		return err
	}
	if kind := reflect.TypeOf(v).Elem().Kind(); kind == reflect.Struct && kindOf(text) != "an object" {
		return &Error{Want: "an object", Got: kindOf(text), Err: ErrType}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return explain(text, err)
	}
	return nil
}

// Check tells whether text is one JSON value, as Unmarshal wants it. The error is an
// *Error; it wraps io.ErrUnexpectedEOF where the text ends too early.
func Check(text []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	if _, err := dec.ReadValue(); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // nothing at all
		}
		return explain(text, err)
	}
	rest := text[dec.InputOffset():]
	if blank := bytes.TrimLeft(rest, " \t\r\n"); len(blank) > 0 {
		return &Error{Offset: len(text) - len(blank), Got: quote(blank), Err: ErrMore}
	}
	return nil
}

// Value reads the one JSON value that text holds: nil, bool, int, float64, string, []any
// or *ordered.Map. A number without fraction and exponent is an int; one beyond 64 bits
// is given as what huge makes of it, which may be an error.
func Value(text []byte, huge func(number string) (any, error)) (any, error) {
	if err := Check(text); err != nil {
		return nil, err
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	v, err := value(dec, huge)
	if err != nil {
		return nil, explain(text, err)
	}
	return v, nil
}

func value(dec *jsontext.Decoder, huge func(string) (any, error)) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return token.Bool(), nil
	case '"':
		return token.String(), nil
	case '0':
		v, err := number(token.String(), huge)
		if err != nil {
			return nil, &Error{Field: fieldOf(string(dec.StackPointer())), Got: token.String(), Err: err}
		}
		return v, nil
	case '[':
		out := []any{}
		for dec.PeekKind() != ']' {
			v, err := value(dec, huge)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err = dec.ReadToken()
		return out, err
	}
	out := ordered.New(8)
	for dec.PeekKind() != '}' {
		key, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := key.String()
		v, err := value(dec, huge)
		if err != nil {
			return nil, err
		}
		out.Set(name, v)
	}
	_, err = dec.ReadToken()
	return out, err
}

func number(s string, huge func(string) (any, error)) (any, error) {
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.Atoi(s); err == nil {
			return i, nil
		}
		return huge(s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, errors.New("the number is too large for 64 bits")
	}
	return f, nil
}

// First gives the first JSON value of text and where it ends; text may go on after it.
func First(text []byte) (Raw, int, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	v, err := dec.ReadValue()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, 0, explain(text, err)
	}
	return v, int(dec.InputOffset()), nil
}

// Array calls each for the elements of the one array that text holds, with the byte at
// which an element begins.
func Array(text []byte, each func(offset int, element Raw) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	token, err := dec.ReadToken()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return explain(text, err)
	}
	if token.Kind() != '[' {
		return &Error{Want: "a list", Got: kindOf(text), Err: ErrType}
	}
	for dec.PeekKind() != ']' {
		v, err := dec.ReadValue()
		if err != nil {
			return explain(text, err)
		}
		if err := each(int(dec.InputOffset())-len(v), v); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return explain(text, err)
	}
	rest := text[dec.InputOffset():]
	if blank := bytes.TrimLeft(rest, " \t\r\n"); len(blank) > 0 {
		return &Error{Offset: len(text) - len(blank), Got: quote(blank), Err: ErrMore}
	}
	return nil
}
