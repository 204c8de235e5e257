package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What an Error wraps, besides io.ErrUnexpectedEOF.
var (
	// ErrSyntax: the text is no JSON.
	ErrSyntax = errors.New("no JSON")
	// ErrType: a value is of another kind than asked for.
	ErrType = errors.New("another kind of value")
	// ErrTwice: an object has a key twice.
	ErrTwice = errors.New("a key that is given twice")
	// ErrSurrogate: a \u escape is half of a surrogate pair: no character.
	ErrSurrogate = errors.New("half of a surrogate pair")
	// ErrUTF8: a text is not UTF-8.
	ErrUTF8 = errors.New("not UTF-8")
	// ErrMore: the value is followed by something.
	ErrMore = errors.New("more after the value")
)

// Error says what in a JSON text cannot be taken.
type Error struct {
	Offset int    // byte of the text, from 0
	Field  string // "messages[0].content"; "" for the text as a whole
	Want   string // what was expected, in plain words; may be empty
	Got    string // what was found; may be empty
	Mend   string // what can be done; may be empty
	Err    error  // one of the above
}

// Error renders `field "f": cause: want ..., got ...; mend`.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Field != "" {
		fmt.Fprintf(&b, "field %q: ", e.Field)
	}
	b.WriteString(e.Cause())
	if e.Mend != "" {
		b.WriteString("; " + e.Mend)
	}
	return b.String()
}

// Cause is the error without field and remedy.
func (e *Error) Cause() string {
	var parts []string
	if e.Err != nil && (e.Err != ErrType || e.Want == "") {
		parts = append(parts, e.Err.Error())
	}
	switch {
	case e.Want != "" && e.Got != "":
		parts = append(parts, "want "+e.Want+", got "+e.Got)
	case e.Want != "":
		parts = append(parts, "want "+e.Want)
	case e.Got != "":
		parts = append(parts, e.Got)
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives what the error is.
func (e *Error) Unwrap() error { return e.Err }

// Line is the 1-based line of text at which the error is.
func (e *Error) Line(text []byte) int {
	return 1 + bytes.Count(text[:min(max(e.Offset, 0), len(text))], []byte("\n"))
}

// explain puts an error of the library into our words.
func explain(text []byte, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		return explainType(sem)
	}
	var syn *jsontext.SyntacticError
	if !errors.As(err, &syn) && errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Offset: len(text), Err: io.ErrUnexpectedEOF, Got: "the value is cut short"}
	}
	if syn == nil {
		return &Error{Err: fmt.Errorf("%w: %w", ErrSyntax, err)}
	}
	e := &Error{Offset: int(syn.ByteOffset), Field: fieldOf(string(syn.JSONPointer))}
	rest := text[min(e.Offset, len(text)):]
	switch {
	case errors.Is(syn.Err, jsontext.ErrDuplicateName):
		e.Err, e.Mend = ErrTwice, "keep one of them"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Err, e.Got = io.ErrUnexpectedEOF, "the value is cut short"
	case strings.Contains(syn.Err.Error(), "surrogate"):
		e.Err, e.Got = ErrSurrogate, string(rest[:min(len(rest), 6)])
		e.Mend = "write the whole character; the text was cut in the middle of one, or was not written " +
			"by a JSON library"
	case strings.Contains(syn.Err.Error(), "UTF-8"):
		e.Err = ErrUTF8
		if len(rest) > 0 {
			e.Got = fmt.Sprintf("byte 0x%02x", rest[0])
		}
		e.Mend = "save the file as UTF-8"
	default:
		e.Err = ErrSyntax
		e.Got, e.Mend = syntax(rest, strings.Contains(syn.Err.Error(), "in string"))
	}
	return e
}

// syntax says what is wrong with the text that the parser stopped at.
func syntax(rest []byte, inText bool) (got, mend string) {
	if len(rest) == 0 {
		return "the text ends", ""
	}
	c := rest[0]
	switch {
	case inText && c == '\n':
		return "a line end inside a text", `write it as \n`
	case inText && c < 0x20:
		return fmt.Sprintf("the control character U+%04X inside a text", c), fmt.Sprintf(`write it as \u%04x`, c)
	case inText && c == '\\':
		return "the escape " + quote(rest[:min(len(rest), 2)]), `write a backslash as \\`
	case inText:
		return quote(rest), ""
	case c == '\'':
		return "single quotes", "JSON wants double quotes: write the file with a JSON library (in Python json.dumps)"
	case bytes.HasPrefix(rest, []byte("NaN")):
		return "NaN, which is no JSON number", "leave the key out, or write null or a number"
	case bytes.HasPrefix(rest, []byte("Infinity")), bytes.HasPrefix(rest, []byte("-Infinity")):
		return "Infinity, which is no JSON number", "leave the key out, or write null or a number"
	case bytes.HasPrefix(rest, []byte("None")), bytes.HasPrefix(rest, []byte("True")),
		bytes.HasPrefix(rest, []byte("False")):
		return "a word of Python's",
			"JSON has null, true and false: write the file with a JSON library (in Python json.dumps)"
	case bytes.HasPrefix(rest, []byte("//")), bytes.HasPrefix(rest, []byte("/*")), c == '#':
		return "a comment, which JSON does not have", "delete it"
	case c == ',' || c == '}' || c == ']':
		return "a value is missing before " + quote(rest[:1]), "delete the comma too many, or write the value"
	case c == '"':
		return "a comma or colon is missing before " + quote(rest), ""
	}
	return "unexpected " + quote(rest), ""
}

// explainType is explain for a value of the wrong kind.
func explainType(sem *json.SemanticError) error {
	e := &Error{Offset: int(sem.ByteOffset), Field: fieldOf(string(sem.JSONPointer)), Err: ErrType,
		Got: nameOf(sem.JSONKind)}
	if sem.GoType != nil {
		e.Want = wordOf(sem.GoType)
	}
	if sem.JSONKind == '0' && len(sem.JSONValue) > 0 {
		e.Got = quoteNumber(sem.JSONValue)
	}
	var own *Error
	if errors.As(sem.Err, &own) {
		e.Want, e.Got, e.Mend = own.Want, own.Got, own.Mend
	} else if sem.Err != nil && !errors.Is(sem.Err, strconv.ErrSyntax) && !errors.Is(sem.Err, strconv.ErrRange) {
		// What an UnmarshalJSON method says of the value.
		e.Want, e.Got, e.Err = "", "", typeError{sem.Err}
	}
	return e
}

// typeError is another package's error that is an ErrType too.
type typeError struct{ error }

// Unwrap gives both.
func (t typeError) Unwrap() []error { return []error{ErrType, t.error} }

// Wanted is the error that an UnmarshalJSON method gives for a value it cannot take.
func Wanted(want string, raw []byte) error {
	return &Error{Want: want, Got: quoteNumber(raw), Err: ErrType}
}

func quoteNumber(raw []byte) string {
	if len(raw) > 40 {
		return string(raw[:40]) + "..."
	}
	return string(raw)
}

// nameOf names a kind of JSON value.
func nameOf(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "text"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return "something else"
}

// kindOf names the kind of the value that text begins with.
func kindOf(text []byte) string { return nameOf(Kind(text)) }

// Kind is the kind of the value that text begins with.
func Kind(text []byte) jsontext.Kind { return jsontext.Value(text).Kind() }

// Describe names the kind of a value, "a list".
func Describe(text []byte) string { return kindOf(text) }

// wordOf says in plain words what a Go type wants.
func wordOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wordOf(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of at least 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return ""
}

// fieldOf turns a JSON pointer, "/messages/0/content", into "messages[0].content".
func fieldOf(pointer string) string {
	var b strings.Builder
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch digits := part != "" && strings.Trim(part, "0123456789") == ""; {
		case digits && b.Len() == 0:
			b.WriteString("[" + part + "]")
		case digits:
			b.WriteString("[" + part + "]")
		case b.Len() > 0:
			b.WriteString("." + part)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}

// quote shows the beginning of a text.
func quote(text []byte) string {
	const keep = 30
	s := strings.ToValidUTF8(string(text[:min(len(text), 4*keep)]), "�")
	if line, _, cut := strings.Cut(s, "\n"); cut && line != "" {
		s = line
	}
	if utf8.RuneCountInString(s) > keep {
		return fmt.Sprintf("%q...", string([]rune(s)[:keep]))
	}
	return fmt.Sprintf("%q", s)
}
