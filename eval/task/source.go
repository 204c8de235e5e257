package task

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/conf"
)

// source is a task file while it is read: with those that it includes, and with what a group
// sets instead.
type source struct {
	path   string // the task file
	file   file
	origin map[string]string // file that set a key
	// functions are the keys whose value is Python, with the error for it: another file may
	// still set the key.
	functions map[string]error
	hash      []byte
	files     []string // read, in order
}

func newSource(path string) *source {
	return &source{path: path, origin: map[string]string{}, functions: map[string]error{},
		file: file{OutputType: GenerateUntil, FewshotDelimiter: "\n\n", Repeats: 1}} // the harness's defaults
}

// fail makes an error at a key of the task.
func (s *source) fail(key string, line int, format string, args ...any) error {
	at := s.path
	top, _, _ := strings.Cut(key, ".")
	top, _, _ = strings.Cut(top, "[")
	if o, ok := s.origin[top]; ok {
		at = o
	}
	return &conf.Error{File: at, Line: line, Key: key, Msg: fmt.Sprintf(format, args...)}
}

// readFile decodes a file over what was read, the files that it includes first.
func (s *source) readFile(path string, from []string) error {
	if slices.Contains(from, path) {
		return &conf.Error{File: path, Key: "include", Msg: "the files include each other"}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("task: %w", err)
	}
	s.hash = append(s.hash, raw...)
	s.files = append(s.files, path)
	node, err := mapping(path, raw)
	if err != nil {
		return err
	}
	includes, err := includesOf(path, node)
	if err != nil {
		return err
	}
	for _, inc := range includes {
		if !filepath.IsAbs(inc) {
			inc = filepath.Join(filepath.Dir(path), inc)
		}
		if err := s.readFile(inc, append(from, path)); err != nil {
			return err
		}
	}
	return s.over(path, node)
}

// mapping parses the text of a task or group file.
func mapping(path string, raw []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil || len(doc.Content) != 1 {
		err := conf.Parse(path, raw, &struct{}{}) // says it in its words
		if err == nil {
			err = &conf.Error{File: path, Msg: "want the keys of a task (task, data, doc_to_text, ...), got nothing"}
		}
		return nil, err
	}
	node := doc.Content[0]
	if node.Kind != yaml.MappingNode {
		return nil, &conf.Error{File: path, Line: node.Line, Msg: "want the keys of a task (task, data, " +
			"doc_to_text, ...)"}
	}
	return node, nil
}

// over sets the keys of a mapping in the place of what was read. What is Python is only
// remembered, lest a key be refused that another file sets.
func (s *source) over(path string, node *yaml.Node) error {
	readable := *node
	readable.Content = nil
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		s.origin[key.Value] = path
		delete(s.functions, key.Value)
		if err := function(path, key.Value, value); err != nil {
			s.functions[key.Value] = err
			continue
		}
		readable.Content = append(readable.Content, key, value)
	}
	return conf.Decode(path, &readable, &s.file)
}

// python refuses what is still Python when everything is read.
func (s *source) python() error {
	var first *conf.Error
	for _, err := range s.functions {
		e := err.(*conf.Error)
		if first == nil || e.Line < first.Line || e.Line == first.Line && e.Key < first.Key {
			first = e
		}
	}
	if first == nil {
		return nil
	}
	return first
}

// function is the error for a value that holds Python, nil without. Metrics are excepted: those
// that cannot be computed are left out.
func function(path, key string, n *yaml.Node) error {
	if key == "metric_list" {
		return nil
	}
	if n.Tag == "!function" {
		return &conf.Error{File: path, Line: n.Line, Key: key, Msg: fmt.Sprintf("!function %s is Python, which is "+
			"not run: write it as a template, or prepare the rows beforehand and name their file under data", n.Value)}
	}
	for i, c := range n.Content {
		at := key
		switch {
		case n.Kind == yaml.SequenceNode:
			at = fmt.Sprintf("%s[%d]", key, i)
		case n.Kind == yaml.MappingNode && i%2 == 1:
			at = strings.TrimPrefix(key+"."+n.Content[i-1].Value, ".")
		}
		if err := function(path, at, c); err != nil {
			return err
		}
	}
	return nil
}

// includesOf lists the files under include: one name or several.
func includesOf(path string, n *yaml.Node) ([]string, error) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "include" {
			continue
		}
		out, ok := texts(n.Content[i+1])
		if !ok {
			return nil, &conf.Error{File: path, Line: n.Content[i].Line, Key: "include",
				Msg: "want the name of a file, or a list of them"}
		}
		return out, nil
	}
	return nil, nil
}
