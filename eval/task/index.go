package task

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// index knows the task files below a folder by the names that they give themselves: tasks,
// groups, and tags, which are sets of tasks.
type index struct {
	root          string
	tasks, groups map[string]string   // file of a name
	tags          map[string][]string // tasks of a tag
}

// heads are the keys by which a file is listed.
type heads struct {
	Group   string
	Task    string // one; a list belongs to a group
	Tag     []string
	Class   bool // a task that is a Python class
	include []string
}

// tasksFolder is what the harness calls the folder of all tasks.
const tasksFolder = "tasks"

// rootOf is where the names of a task file are looked up: the nearest folder called "tasks" above it,
// or its own.
func rootOf(path string) string {
	own := filepath.Dir(path)
	if full, err := filepath.Abs(own); err == nil {
		own = full
	}
	for dir := own; ; dir = filepath.Dir(dir) {
		if filepath.Base(dir) == tasksFolder {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return own
		}
	}
}

// newIndex reads the heads of all task files below a folder, in the order of their paths: of two
// with the same name the first one counts, as in the harness.
func newIndex(root string) (*index, error) {
	x := &index{root: root, tasks: map[string]string{}, groups: map[string]string{}, tags: map[string][]string{}}
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && strings.HasSuffix(path, ".yaml") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	known := map[string]heads{}
	for _, path := range files {
		h := headsOf(path, known, nil)
		switch {
		case h.Group != "" && !h.Class:
			if x.groups[h.Group] == "" {
				x.groups[h.Group] = path
			}
		case h.Task != "" && x.tasks[h.Task] == "":
			x.tasks[h.Task] = path
			for _, tag := range h.Tag {
				x.tags[tag] = append(x.tags[tag], h.Task)
			}
		}
	}
	for _, members := range x.tags {
		slices.Sort(members)
	}
	return x, nil
}

// headsOf reads the heads of a file and of those that it includes. A file that cannot be read
// has none; whoever names it is told why when it is loaded.
func headsOf(path string, known map[string]heads, from []string) heads {
	if h, ok := known[path]; ok {
		return h
	}
	raw, err := os.ReadFile(path)
	if err != nil || slices.Contains(from, path) {
		return heads{}
	}
	own := parseHeads(raw)
	var h heads
	for _, inc := range own.include {
		if !filepath.IsAbs(inc) {
			inc = filepath.Join(filepath.Dir(path), inc)
		}
		h = h.under(headsOf(inc, known, append(from, path)))
	}
	h = h.under(own)
	known[path] = h
	return h
}

// under gives the heads with those of a later file in their place.
func (h heads) under(later heads) heads {
	if later.Group != "" {
		h.Group = later.Group
	}
	if later.Task != "" {
		h.Task = later.Task
	}
	if later.Tag != nil {
		h.Tag = later.Tag
	}
	h.Class = h.Class || later.Class
	h.include = nil
	return h
}

// parseHeads reads the keys at the left margin that matter, without parsing the whole file: the
// harness has fourteen thousand of them.
func parseHeads(raw []byte) heads {
	var h heads
	lines := bytes.Split(raw, []byte("\n"))
	for i := 0; i < len(lines); i++ {
		key := headKey(lines[i])
		if key == "" {
			continue
		}
		end := i + 1
		for end < len(lines) && belongs(lines[end]) {
			end++
		}
		if n, ok := plain(lines[i], lines[i+1:end]); ok {
			h.set(key, n)
		} else {
			var values map[string]yaml.Node
			if yaml.Unmarshal(bytes.Join(lines[i:end], []byte("\n")), &values) == nil {
				n := values[key]
				h.set(key, &n)
			}
		}
		i = end - 1
	}
	return h
}

// headKey is the key that a line sets, if it is one of the heads.
func headKey(line []byte) string {
	key, _, found := bytes.Cut(line, []byte(":"))
	if !found {
		return ""
	}
	switch k := strings.Trim(strings.TrimPrefix(string(key), "\ufeff"), `"' `); k {
	case "group", "task", "tag", "class", "include":
		return k
	}
	return ""
}

// word is a value that means itself in YAML, whatever stands around it.
var word = regexp.MustCompile(`^(?:([A-Za-z][A-Za-z0-9_./-]*)|"([A-Za-z][A-Za-z0-9_./ -]*)")$`)

// plain reads the common case: one word on the line, and nothing below it.
func plain(line []byte, below [][]byte) (*yaml.Node, bool) {
	for _, l := range below {
		if len(bytes.TrimSpace(l)) > 0 {
			return nil, false
		}
	}
	_, value, _ := bytes.Cut(line, []byte(":"))
	m := word.FindSubmatch(bytes.TrimSpace(value))
	if m == nil || slices.Contains([]string{"null", "Null", "NULL", "true", "false"}, string(m[1])) {
		return nil, false
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(m[1]) + string(m[2])}, true
}

// belongs says that a line goes on with the value of the key above it.
func belongs(line []byte) bool {
	return len(line) == 0 || strings.ContainsRune(" \t\r-#]}", rune(line[0]))
}

func (h *heads) set(key string, n *yaml.Node) {
	list, ok := texts(n)
	switch key {
	case "class":
		h.Class = true
	case "group":
		h.Group = n.Value
	case "task":
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
			h.Task = n.Value
		}
	case "tag":
		if ok {
			h.Tag = list
		}
	case "include":
		if ok {
			h.include = list
		}
	}
}
