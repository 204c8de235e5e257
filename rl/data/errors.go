package data

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels that errors of this package wrap.
var (
	// ErrEmpty: the file holds no byte, or no data row.
	ErrEmpty = errors.New("no rows")
	// ErrNotUTF8: the text is in another encoding.
	ErrNotUTF8 = errors.New("not UTF-8")
	// ErrTooLarge: a file, record or row count is over its bound.
	ErrTooLarge = errors.New("too large")
	// ErrWrongFormat: the file is well formed, but of another kind than asked for.
	ErrWrongFormat = errors.New("another format")
	// ErrUnknownFormat: Detect found no format that fits.
	ErrUnknownFormat = errors.New("format not recognised")
	// ErrMalformed: a row or field breaks the rules of its format.
	ErrMalformed = errors.New("malformed")
	// ErrOverlong: a sequence is longer than allowed and the policy is "error".
	ErrOverlong = errors.New("longer than max_tokens")
)

// Error is what every reader returns for input it cannot use.
type Error struct {
	Format Format // format being read
	Path   string // file as opened
	Line   int    // 1-based line of the file where the field or record starts; 0: whole file
	Field  string // name of the field; "" when the record as a whole is meant
	Want   string // what was expected
	Got    string // what was found, shortened; "" when there is nothing to show
	Mend   string // what the user can do
	Err    error  // sentinel or cause
}

// Error renders `format: path: line N: field "f": want ..., got ...; mend`.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Format, e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, ": line %d", e.Line)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": field %q", e.Field)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Want != "" {
		fmt.Fprintf(&b, ": want %s", e.Want)
		if e.Got != "" {
			fmt.Fprintf(&b, ", got %s", e.Got)
		}
	}
	if e.Mend != "" {
		fmt.Fprintf(&b, "; %s", e.Mend)
	}
	return b.String()
}

// Unwrap gives the sentinel or cause.
func (e *Error) Unwrap() error { return e.Err }

const mendRow = "mend or delete this row"

// quote shows at most 60 characters of a value from a file.
func quote(s string) string {
	const keep = 60
	if runes := []rune(s); len(runes) > keep {
		return fmt.Sprintf("%q...", string(runes[:keep]))
	}
	return fmt.Sprintf("%q", s)
}
