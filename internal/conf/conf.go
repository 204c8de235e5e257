package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Error is one mistake in a configuration.
type Error struct {
	File string // name given to Parse; "" for an override
	Line int    // 1 is the first; 0 where there is none
	Key  string // full dotted key; "" where there is none
	Msg  string
}

// Error implements error: "file:line: key: message".
func (e *Error) Error() string {
	var parts []string
	switch {
	case e.File != "" && e.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", e.File, e.Line))
	case e.File != "":
		parts = append(parts, e.File)
	}
	if e.Key != "" {
		parts = append(parts, e.Key)
	}
	return strings.Join(append(parts, e.Msg), ": ")
}

// Enum is a string type with a fixed set of values.
type Enum interface{ Values() []string }

// Parse reads YAML into a pointer to a struct; name stands for the file in errors. An
// error joins one *Error for each mistake, and into may then be filled in part.
func Parse(name string, data []byte, into any) error {
	root, err := document(name, data)
	if err != nil || root == nil {
		return err
	}
	d := decoder{file: name}
	d.decode(root, target(into), "")
	return errors.Join(d.errs...)
}

// Decode is Parse for a mapping that is read already, as one that stands within another file.
func Decode(name string, node *yaml.Node, into any) error {
	d := decoder{file: name}
	d.decode(node, target(into), "")
	return errors.Join(d.errs...)
}

// Lookup returns the text of a scalar at a dotted key without decoding the rest: how a
// program finds out which preset to fill in before it parses the file.
func Lookup(name string, data []byte, key string) (value string, found bool, err error) {
	node, err := document(name, data)
	if err != nil || node == nil {
		return "", false, err
	}
	for part := range strings.SplitSeq(key, ".") {
		node = child(node, part)
		if node == nil {
			return "", false, nil
		}
	}
	if node.Kind != yaml.ScalarNode {
		return "", false, &Error{File: name, Line: node.Line, Key: key, Msg: "want a single value, got " +
			kindName(node)}
	}
	return node.Value, true, nil
}

// Kind says what kind of value a document has at a key ("a mapping", "a list", ...), "" if it has
// none or cannot be read.
func Kind(name string, data []byte, key string) string {
	node, err := document(name, data)
	if err != nil {
		return ""
	}
	for part := range strings.SplitSeq(key, ".") {
		if node == nil {
			return ""
		}
		node = child(node, part)
	}
	if node == nil {
		return ""
	}
	return kindName(node)
}

// List returns the scalars of the list at a dotted key of a YAML text.
func List(data []byte, key string) ([]string, error) {
	node, err := document("", data)
	if err != nil {
		return nil, err
	}
	for part := range strings.SplitSeq(key, ".") {
		if node == nil {
			break
		}
		node = child(node, part)
	}
	if node == nil || node.Kind != yaml.SequenceNode {
		return nil, &Error{Key: key, Msg: "want a list"}
	}
	var out []string
	for _, item := range node.Content {
		out = append(out, item.Value)
	}
	return out, nil
}

// Marshal writes a configuration as YAML without comments, fields in their order; Parse
// reads it back to an equal value.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("conf: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("conf: %w", err)
	}
	return b.Bytes(), nil
}

// document parses data to its only top node, nil for an empty document.
func document(name string, data []byte) (*yaml.Node, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, syntaxError(name, err)
	}
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, &Error{File: name, Line: more.Line, Msg: "a second YAML document: want one"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// syntaxError turns "yaml: line 3: did not find ..." into an Error.
func syntaxError(name string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if n, scanErr := fmt.Sscanf(msg, "line %d: ", &line); scanErr == nil && n == 1 {
		_, msg, _ = strings.Cut(msg, ": ")
	}
	return &Error{File: name, Line: line, Msg: "not YAML: " + msg}
}

func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func target(into any) reflect.Value {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("conf: want a pointer to a struct, got %T", into))
	}
	return v.Elem()
}
