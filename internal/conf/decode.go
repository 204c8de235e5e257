package conf

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"steer/internal/nearest"
)

// maxNodes bounds the work of one file, aliases counted at each use ("billion laughs").
const maxNodes = 1_000_000

type decoder struct {
	file  string
	nodes int
	errs  []error

	// given stands for the text of an override until the type of its key is known.
	given *yaml.Node
	raw   *string
}

func (d *decoder) fail(node *yaml.Node, key, format string, args ...any) {
	d.errs = append(d.errs, &Error{File: d.file, Line: node.Line, Key: key, Msg: fmt.Sprintf(format, args...)})
}

func (d *decoder) wrong(node *yaml.Node, key, want string) {
	got := kindName(node)
	if node.Kind == yaml.ScalarNode && node.Tag != "!!null" {
		got = strconv.Quote(node.Value)
	}
	d.fail(node, key, "want %s, got %s", want, got)
}

func kindName(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!null":
		return "nothing"
	default:
		return "a single value"
	}
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	enumType        = reflect.TypeFor[Enum]()
	nodeType        = reflect.TypeFor[yaml.Node]()
)

// decode puts node into v, which is settable; key is its full name.
func (d *decoder) decode(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(node, key, "more than %d values: want a smaller file", maxNodes)
		}
		return
	}
	t := v.Type()
	if d.raw != nil && node == d.given {
		if node = d.typed(t, key); node == nil {
			return
		}
	}
	if t == nodeType { // whatever stands there; the caller reads it
		v.Set(reflect.ValueOf(*node))
		return
	}
	if t.Kind() == reflect.Pointer {
		if node.Tag == "!!null" {
			v.SetZero()
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.decode(node, v.Elem(), key)
		return
	}
	switch {
	case t == durationType:
		d.duration(node, v, key)
	case reflect.PointerTo(t).Implements(textUnmarshaler) &&
		!(t.Kind() == reflect.Struct && node.Kind == yaml.MappingNode):
		d.text(node, v, key)
	case t.Implements(enumType) && t.Kind() == reflect.String:
		d.enum(node, v, key)
	case t.Kind() == reflect.Struct:
		d.structure(node, v, key)
	case t.Kind() == reflect.Map:
		d.mapping(node, v, key)
	case t.Kind() == reflect.Slice:
		d.list(node, v, key)
	default:
		d.scalar(node, v, key)
	}
}

func (d *decoder) structure(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.MappingNode {
		d.wrong(node, key, "a mapping of keys to values")
		return
	}
	fields := map[string]reflect.Value{}
	var names []string
	collect(v, fields, &names)
	d.pairs(node, key, func(name *yaml.Node, value *yaml.Node) {
		field, ok := fields[name.Value]
		if !ok {
			meant := hint(name.Value, names)
			if path := oneBelow(name.Value, fields, names); path != "" {
				meant = fmt.Sprintf(": did you mean %q?", path)
			}
			d.fail(name, join(key, name.Value), "unknown key%s", meant)
			return
		}
		d.decode(value, field, join(key, name.Value))
	})
}

// oneBelow gives the path of a key of this very name one level down ("optim.lr" for "lr"), ""
// if there is none.
func oneBelow(name string, fields map[string]reflect.Value, names []string) string {
	for _, parent := range names {
		t := fields[parent].Type()
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t == nodeType {
			continue
		}
		inner := map[string]reflect.Value{}
		var known []string
		collect(reflect.New(t).Elem(), inner, &known)
		if slices.Contains(known, name) {
			return parent + "." + name
		}
	}
	return ""
}

// collect gathers the fields of a struct by key, inlined structs included.
func collect(v reflect.Value, fields map[string]reflect.Value, names *[]string) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || tag == "-":
		case strings.Contains(opts, "inline"):
			collect(v.Field(i), fields, names)
		default:
			if tag == "" {
				tag = strings.ToLower(f.Name) // as package yaml writes it
			}
			fields[tag] = v.Field(i)
			*names = append(*names, tag)
		}
	}
}

// pairs walks a mapping, refusing repeated, non-scalar and merge keys.
func (d *decoder) pairs(node *yaml.Node, key string, visit func(name, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		switch first, again := seen[name.Value]; {
		case name.Kind != yaml.ScalarNode:
			d.fail(name, key, "want a plain key, got %s", kindName(name))
		case name.Tag == "!!merge":
			d.fail(name, key, "merge keys (<<) are not supported: write the keys out")
		case again:
			d.fail(name, join(key, name.Value), "key given twice, first on line %d", first)
		default:
			seen[name.Value] = name.Line
			visit(name, value)
		}
	}
}

func (d *decoder) mapping(node *yaml.Node, v reflect.Value, key string) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("conf: %s: map keys must be strings", v.Type()))
	}
	if node.Kind != yaml.MappingNode {
		d.wrong(node, key, "a mapping of names to values")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	} else { // a preset's map is not shared with what is decoded over it
		c := reflect.MakeMap(v.Type())
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), it.Value())
		}
		v.Set(c)
	}
	d.pairs(node, key, func(name, value *yaml.Node) {
		k := reflect.ValueOf(name.Value).Convert(v.Type().Key())
		item := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(k); old.IsValid() {
			item.Set(old)
		}
		d.decode(value, item, join(key, name.Value))
		v.SetMapIndex(k, item)
	})
}

func (d *decoder) list(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.SequenceNode {
		d.wrong(node, key, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.decode(item, out.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
	v.Set(out)
}

func (d *decoder) enum(node *yaml.Node, v reflect.Value, key string) {
	values := v.Interface().(Enum).Values()
	if node.Kind != yaml.ScalarNode || !slices.Contains(values, node.Value) {
		want := "one of " + strings.Join(values, ", ")
		if near, ok := nearest.Word(node.Value, values); ok && node.Kind == yaml.ScalarNode {
			d.fail(node, key, "want %s, got %q: did you mean %q?", want, node.Value, near)
			return
		}
		d.wrong(node, key, want)
		return
	}
	v.SetString(node.Value)
}

func (d *decoder) duration(node *yaml.Node, v reflect.Value, key string) {
	x, err := time.ParseDuration(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil {
		d.wrong(node, key, `a duration such as "90s" or "1h30m"`)
		return
	}
	v.SetInt(int64(x))
}

func (d *decoder) text(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		d.wrong(node, key, "a single value")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(node.Value)); err != nil {
		d.fail(node, key, "%v", err)
	}
}

func (d *decoder) scalar(node *yaml.Node, v reflect.Value, key string) {
	plain := node.Kind == yaml.ScalarNode
	switch k := v.Kind(); {
	case k == reflect.String:
		// "name: 13" means the text 13; an empty value is a forgotten one.
		if !plain || node.Tag == "!!null" {
			d.wrong(node, key, `a text (write "" for an empty one)`)
			return
		}
		v.SetString(node.Value)
	case k == reflect.Bool:
		if !plain || node.Tag != "!!bool" {
			d.wrong(node, key, "true or false")
			return
		}
		v.SetBool(strings.EqualFold(node.Value, "true"))
	case v.CanInt():
		x, err := strconv.ParseInt(clean(node), 0, v.Type().Bits())
		if !plain || node.Tag != "!!int" || err != nil {
			d.wrong(node, key, fmt.Sprintf("a whole number%s", limits(k)))
			return
		}
		v.SetInt(x)
	case v.CanUint():
		x, err := strconv.ParseUint(clean(node), 0, v.Type().Bits())
		if !plain || node.Tag != "!!int" || err != nil {
			d.wrong(node, key, "a whole number, 0 or more")
			return
		}
		v.SetUint(x)
	case v.CanFloat():
		x, err := strconv.ParseFloat(clean(node), v.Type().Bits())
		if !plain || node.Tag != "!!int" && node.Tag != "!!float" || err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			d.wrong(node, key, "a finite number")
			return
		}
		v.SetFloat(x)
	default:
		panic(fmt.Sprintf("conf: %s: cannot hold a %s", key, v.Type()))
	}
}

func clean(node *yaml.Node) string { return strings.ReplaceAll(node.Value, "_", "") }

func limits(k reflect.Kind) string {
	switch k {
	case reflect.Int8:
		return " of 8 bits"
	case reflect.Int16:
		return " of 16 bits"
	case reflect.Int32:
		return " of 32 bits"
	}
	return ""
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// hint ends an unknown-key message with the nearest known key, or all of them.
func hint(name string, known []string) string {
	if near, ok := nearest.Word(name, known); ok {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	if len(known) == 0 {
		return ": no key is known here"
	}
	sorted := slices.Sorted(slices.Values(known))
	return ": known here: " + strings.Join(sorted, ", ")
}
