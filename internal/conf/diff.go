package conf

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Change is a key whose value differs between two configurations; a side that lacks
// the key is "".
type Change struct{ Key, Old, New string }

// String is "key: old -> new".
func (c Change) String() string {
	side := func(s string) string {
		if s == "" {
			return "(absent)"
		}
		return s
	}
	return fmt.Sprintf("%s: %s -> %s", c.Key, side(c.Old), side(c.New))
}

// Diff lists the scalar keys that differ between two YAML texts, in the order of the
// first, then those only the second has. List items count as keys ("targets[0]").
func Diff(old, new []byte) ([]Change, error) {
	a, err := flatten("old configuration", old)
	if err != nil {
		return nil, err
	}
	b, err := flatten("new configuration", new)
	if err != nil {
		return nil, err
	}
	inB := map[string]string{}
	for _, kv := range b {
		inB[kv[0]] = kv[1]
	}
	var out []Change
	inA := map[string]bool{}
	for _, kv := range a {
		inA[kv[0]] = true
		if inB[kv[0]] != kv[1] {
			out = append(out, Change{kv[0], kv[1], inB[kv[0]]})
		}
	}
	for _, kv := range b {
		if !inA[kv[0]] {
			out = append(out, Change{kv[0], "", kv[1]})
		}
	}
	return out, nil
}

func flatten(name string, data []byte) ([][2]string, error) {
	root, err := document(name, data)
	if err != nil || root == nil {
		return nil, err
	}
	var out [][2]string
	var walk func(node *yaml.Node, key string)
	walk = func(node *yaml.Node, key string) {
		switch {
		case node.Kind == yaml.AliasNode:
			out = append(out, [2]string{key, "*" + node.Value}) // not followed: it may contain itself
		case node.Kind == yaml.MappingNode && len(node.Content) > 0:
			for i := 0; i+1 < len(node.Content); i += 2 {
				walk(node.Content[i+1], join(key, node.Content[i].Value))
			}
		case node.Kind == yaml.SequenceNode && len(node.Content) > 0:
			for i, item := range node.Content {
				walk(item, fmt.Sprintf("%s[%d]", key, i))
			}
		case node.Kind == yaml.MappingNode:
			out = append(out, [2]string{key, "{}"})
		case node.Kind == yaml.SequenceNode:
			out = append(out, [2]string{key, "[]"})
		default:
			text := node.Value
			if text == "" || strings.TrimSpace(text) != text {
				text = fmt.Sprintf("%q", text)
			}
			out = append(out, [2]string{key, text})
		}
	}
	walk(root, "")
	return out, nil
}
