package task

import (
	"time"

	"go.yaml.in/yaml/v3"

	"steer/internal/ordered"
	"steer/rl/data"
)

// readSamples reads the few-shot examples that are written into the task file.
func (t *Task) readSamples(s *source, n *yaml.Node) error {
	const key = "fewshot_config.samples"
	rows, err := s.yamlValue(key, n)
	if err != nil {
		return err
	}
	list, _ := rows.([]any)
	for _, e := range list {
		row, ok := e.(*ordered.Map)
		if !ok {
			return s.fail(key, n.Line, "want a list of rows (keys and values)")
		}
		t.samples = append(t.samples, row)
	}
	if len(t.samples) == 0 {
		return s.fail(key, n.Line, "want a list of rows (keys and values)")
	}
	return nil
}

// yamlValue gives a value of the file as rows of data have it: mappings in their order.
func (s *source) yamlValue(key string, n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.AliasNode:
		return s.yamlValue(key, n.Alias)
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, e := range n.Content {
			var err error
			if out[i], err = s.yamlValue(key, e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case yaml.MappingNode:
		out := ordered.New(len(n.Content) / 2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if n.Content[i].Kind != yaml.ScalarNode || n.Content[i].Tag == "!!merge" {
				return nil, s.fail(key, n.Content[i].Line, "want text as a key")
			}
			if _, twice := out.Get(name); twice {
				return nil, s.fail(key, n.Content[i].Line, "the key %q is given twice: keep one of them", name)
			}
			v, err := s.yamlValue(key, n.Content[i+1])
			if err != nil {
				return nil, err
			}
			out.Set(name, v)
		}
		return out, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, s.fail(key, n.Line, "%q is not understood", n.Value)
	}
	switch x := v.(type) {
	case int64:
		return int(x), nil
	case uint64:
		return data.Unreadable("the whole number " + n.Value + " is beyond 64 bits: write it in quotes"), nil
	case time.Time:
		return data.Unreadable("the date " + n.Value + " is not read: write it in quotes"), nil
	}
	return v, nil
}
