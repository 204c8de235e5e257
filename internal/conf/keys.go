package conf

import (
	"encoding"
	"reflect"
	"strings"
)

// Key is a dotted key that a configuration has.
type Key struct {
	Name string
	// Values are those it may have, if they are names.
	Values []string
}

// Keys lists the keys of a pointer to a struct that hold single values or lists, in the order of
// their fields. Of a mapping the names are not known: what is below it is left out.
func Keys(of any) []Key {
	var out []Key
	walkKeys(reflect.TypeOf(of).Elem(), "", &out)
	return out
}

func walkKeys(t reflect.Type, prefix string, out *[]Key) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case !f.IsExported() || tag == "-" || inner.Kind() == reflect.Map:
			continue
		case strings.Contains(opts, "inline"):
			walkKeys(inner, prefix, out)
			continue
		case tag == "":
			tag = strings.ToLower(f.Name)
		}
		key := Key{Name: join(prefix, tag)}
		if inner.Kind() == reflect.Struct && inner != nodeType &&
			!reflect.PointerTo(inner).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			walkKeys(inner, key.Name, out)
			continue
		}
		if inner.Implements(enumType) && inner.Kind() == reflect.String {
			key.Values = reflect.Zero(inner).Interface().(Enum).Values()
		}
		if inner.Kind() == reflect.Bool {
			key.Values = []string{"true", "false"}
		}
		*out = append(*out, key)
	}
}
