package task

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/conf"
	"steer/internal/pyfunc"
)

// source is a task file while it is read: with those that it includes, and with what a group
// sets instead.
type source struct {
	path   string // the task file
	file   file
	origin map[string]string // file that set a key
	// refused are the keys that hold Python where none is run, with the error for it: another file
	// may still set the key.
	refused map[string]*conf.Error
	hash    []byte
	files   []string // read, in order
}

func newSource(path string) *source {
	return &source{path: path, origin: map[string]string{}, refused: map[string]*conf.Error{},
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

// over sets the keys of a mapping in the place of what was read. Python where it has no place is
// only remembered, lest a key be refused that another file sets.
func (s *source) over(path string, node *yaml.Node) error {
	readable := *node
	readable.Content = nil
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		s.origin[key.Value] = path
		delete(s.refused, key.Value)
		if err := refusedFunction(path, key.Value, value); err != nil {
			s.refused[key.Value] = err
			continue
		}
		readable.Content = append(readable.Content, key, value)
	}
	return conf.Decode(path, &readable, &s.file)
}

// python refuses what is still Python in a wrong place when everything is read.
func (s *source) python() error {
	var first *conf.Error
	for _, e := range s.refused {
		if first == nil || e.Line < first.Line || e.Line == first.Line && e.Key < first.Key {
			first = e
		}
	}
	if first == nil {
		return nil
	}
	return first
}

const functionTag = "!function"

// withFunctions are the keys that may name a function of Python.
var withFunctions = []string{"doc_to_text", "doc_to_choice", "doc_to_target", "process_docs", "process_results",
	"gen_prefix",
	"fewshot_config.doc_to_text", "fewshot_config.doc_to_choice", "fewshot_config.doc_to_target",
	"fewshot_config.process_docs", "fewshot_config.samples"}

// refusedFunction is the error for Python where none is run, nil without. Metrics are excepted:
// those that cannot be computed are left out.
func refusedFunction(path, key string, n *yaml.Node) *conf.Error {
	if key == "metric_list" || key == "doc_to_decontamination_query" ||
		n.Tag == functionTag && slices.Contains(withFunctions, key) {
		return nil
	}
	if n.Tag == functionTag {
		return &conf.Error{File: path, Line: n.Line, Key: key, Msg: fmt.Sprintf("!function %s is Python, which is "+
			"not run here: write it as a template, or prepare the rows beforehand and name their file under data",
			n.Value)}
	}
	for i, c := range n.Content {
		at := key
		switch {
		case n.Kind == yaml.SequenceNode:
			at = fmt.Sprintf("%s[%d]", key, i)
		case n.Kind == yaml.MappingNode && i%2 == 1:
			at = strings.TrimPrefix(key+"."+n.Content[i-1].Value, ".")
		}
		if err := refusedFunction(path, at, c); err != nil {
			return err
		}
	}
	return nil
}

// function reads the function that a key names: "utils.f" is f of utils.py beside the file.
func (s *source) function(key string, n *yaml.Node) (*pyfunc.Function, error) {
	top, _, _ := strings.Cut(key, ".")
	at := s.path
	if o, ok := s.origin[top]; ok {
		at = o
	}
	dot := strings.LastIndex(n.Value, ".")
	if dot < 0 {
		return nil, s.fail(key, n.Line, "want !function FILE.NAME, got %q", n.Value)
	}
	path := filepath.Join(filepath.Dir(at), strings.ReplaceAll(n.Value[:dot], ".", "/")+".py")
	root := ""
	if r := rootOf(at); filepath.Base(r) == tasksFolder {
		root = r
	}
	m, err := pyfunc.Load(path, root)
	var f *pyfunc.Function
	if err == nil {
		f, err = m.Function(n.Value[dot+1:])
	}
	if err != nil {
		return nil, s.fail(key, n.Line, "!function %s: only plain Python is run (docs/tasks.md): %v; write it as a "+
			"template, or prepare the rows beforehand and name their file under data", n.Value, err)
	}
	for _, file := range m.Files() {
		if !slices.Contains(s.files, file) {
			raw, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("task: %w", err)
			}
			s.files, s.hash = append(s.files, file), append(s.hash, raw...)
		}
	}
	return f, nil
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
