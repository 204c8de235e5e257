package conf

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Set applies one override "dotted.key=value". Where the key holds a text, the value is that
// text as it stands, whatever YAML would make of it; one that is a single quoted YAML text as a
// whole ("a\nb") says what is between the quotes, and null or ~ unsets a key that may be
// absent. Everywhere else the value is YAML ("0.1", "[a, b]"), in which a comment is refused.
func Set(into any, override string) error {
	key, text, ok := splitOverride(override)
	if !ok {
		return &Error{Msg: fmt.Sprintf("override %q: want key=value", override)}
	}
	return assign(into, key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str"}, &text)
}

// SetList puts a list of texts, each as it stands, under a dotted key.
func SetList(into any, key string, items []string) error {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, item := range items {
		list.Content = append(list.Content, textNode(item))
	}
	return assign(into, key, list, nil)
}

// Overridden finds the text that the last of some overrides gives a key.
func Overridden(overrides []string, key string) (text string, found bool) {
	for _, o := range overrides {
		if k, t, ok := splitOverride(o); ok && k == key {
			text, found = t, true
			if n := quotedText(t); n != nil {
				text = n.Value
			}
		}
	}
	return text, found
}

// splitOverride parts key and value; blanks around "=" belong to neither if there are some
// before it.
func splitOverride(override string) (key, text string, ok bool) {
	name, text, ok := strings.Cut(override, "=")
	key = strings.TrimSpace(name)
	if strings.TrimRightFunc(name, unicode.IsSpace) != name {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
	return key, text, ok && key != ""
}

// assign decodes value into the place of a dotted key. Where text is given, value only stands
// for it until the decoder has found out what the key holds.
func assign(into any, key string, value *yaml.Node, text *string) error {
	d := decoder{given: value, raw: text}
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		value = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{textNode(parts[i]), value}}
	}
	d.decode(value, target(into), "")
	return errors.Join(d.errs...)
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// typed is the node of an override's text for a key of type t, nil after an error.
func (d *decoder) typed(t reflect.Type, key string) *yaml.Node {
	text := *d.raw
	bare := t
	for bare.Kind() == reflect.Pointer {
		bare = bare.Elem()
	}
	if bare != t && slices.Contains([]string{"null", "Null", "NULL", "~"}, text) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	if holdsText(bare) && !(bare.Kind() == reflect.Struct && strings.HasPrefix(text, "{")) {
		if n := quotedText(text); n != nil {
			return n
		}
		return textNode(text)
	}
	node, err := document("", []byte(text))
	switch {
	case err != nil:
		d.errs = append(d.errs, &Error{Key: key, Msg: fmt.Sprintf("value %q is not YAML: %v", text, err)})
		return nil
	case node == nil:
		return textNode(text)
	case commented(node):
		d.errs = append(d.errs, &Error{Key: key,
			Msg: fmt.Sprintf("value %q: what follows # would be a comment: "+
				"leave it out, or put texts that hold # into quotes", text)})
		return nil
	}
	return node
}

// holdsText tells whether a key of type t holds a text, or reads its value from one.
func holdsText(t reflect.Type) bool {
	return t.Kind() == reflect.String || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// quotedText is the node of a text that is one quoted YAML scalar as a whole, else nil.
func quotedText(text string) *yaml.Node {
	if len(text) < 2 || text[0] != text[len(text)-1] || text[0] != '"' && text[0] != '\'' {
		return nil
	}
	node, err := document("", []byte(text))
	if err != nil || node.Kind != yaml.ScalarNode || commented(node) {
		return nil
	}
	return textNode(node.Value)
}

// commented tells whether a comment stands anywhere in a value.
func commented(n *yaml.Node) bool {
	if n.HeadComment != "" || n.LineComment != "" || n.FootComment != "" {
		return true
	}
	for _, c := range n.Content {
		if commented(c) {
			return true
		}
	}
	return false
}
