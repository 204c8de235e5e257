package conf

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// Without is a YAML text without the given dotted keys; a mapping that this empties goes, too.
// Keys that are not there are no error.
func Without(text []byte, keys []string) ([]byte, error) {
	root, err := document("", text)
	if err != nil || root == nil {
		return nil, err
	}
	drop(root, "", keys)
	return Marshal(root)
}

// drop removes keys below a node, and tells whether that left nothing of it.
func drop(node *yaml.Node, key string, keys []string) (empty bool) {
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		return false
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		full := join(key, name.Value)
		if !slices.Contains(keys, full) && !drop(value, full, keys) {
			kept = append(kept, name, value)
		}
	}
	node.Content = kept
	return len(kept) == 0
}
