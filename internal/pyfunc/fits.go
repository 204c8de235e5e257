package pyfunc

import "fmt"

// The bounds of a value that is shown, compared, copied or given back.
const (
	maxNested  = 500
	maxMembers = 5_000_000
)

// beyond is panicked with where a value is beyond these bounds, and becomes the error of the call.
type beyond struct{ msg string }

func (b *beyond) Error() string { return b.msg }

// fits ends the call if a value holds itself, or more than can be gone through: what follows goes
// through all that it holds, as often as it is held.
func fits(v any) {
	if members(v) == nil && dictOf(v) == nil {
		return
	}
	left := maxMembers
	fit(v, 0, &left)
}

func fit(v any, depth int, left *int) {
	if s, ok := v.(string); ok {
		*left -= len(s) / textPerStep
	}
	if *left--; *left < 0 {
		panic(&beyond{fmt.Sprintf("a value of more than %d members", maxMembers)})
	}
	if depth > maxNested {
		panic(&beyond{fmt.Sprintf("a value that is nested more than %d deep: does it hold itself?", maxNested)})
	}
	if d := dictOf(v); d != nil {
		for _, e := range d.entries {
			fit(e.key, depth+1, left)
			fit(e.value, depth+1, left)
		}
		return
	}
	for _, e := range members(v) {
		fit(e, depth+1, left)
	}
}

// members are those of a list or tuple.
func members(v any) []any {
	if s := sequence(v); s != nil {
		return *s
	}
	return nil
}

func dictOf(v any) *dict {
	switch x := v.(type) {
	case *dict:
		return x
	case *set:
		return x.dict
	}
	return nil
}

// within gives the error of what was ended by fits.
func within(err *error) {
	if r := recover(); r != nil {
		*err = ended(r)
	}
}

// ended is the error that fits ended a call with; another panic goes on.
func ended(r any) error {
	b, ok := r.(*beyond)
	if !ok {
		panic(r)
	}
	return b
}
