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

// Group is a set of tasks that are measured together, as a group file of the harness lists them:
// tasks, tags, and other groups. What it says of aggregates is computed over all tasks in it.
type Group struct {
	Name, Alias string
	Path        string // of the file that describes it
	Members     []Member
	Aggregates  []Aggregate
	Ignored     []string
}

// Member of a group: a task or another group.
type Member struct {
	Task  *Task
	Group *Group
}

// Aggregate is an entry of aggregate_metric_list: the mean of a metric over the tasks of a group.
type Aggregate struct {
	Metric string
	// Filters are the names of the filters whose metric is meant; nil: every one that the tasks have.
	Filters []string
	// BySize weights a task by its number of items; otherwise all count the same.
	BySize bool
}

// Tasks lists the tasks of a group and of those within it, in their order, each once.
func (g *Group) Tasks() []*Task {
	var out []*Task
	seen := map[string]bool{}
	g.walk(func(t *Task) {
		if !seen[t.Name] {
			seen[t.Name] = true
			out = append(out, t)
		}
	})
	return out
}

func (g *Group) walk(visit func(*Task)) {
	for _, m := range g.Members {
		if m.Group != nil {
			m.Group.walk(visit)
		} else {
			visit(m.Task)
		}
	}
}

// Groups lists the groups within a group, the inner ones first, and the group itself last.
func (g *Group) Groups() []*Group {
	var out []*Group
	for _, m := range g.Members {
		if m.Group != nil {
			for _, in := range m.Group.Groups() {
				if !slices.ContainsFunc(out, func(o *Group) bool { return o.Name == in.Name }) {
					out = append(out, in)
				}
			}
		}
	}
	return append(out, g)
}

// IsGroup tells whether a file describes a group.
func IsGroup(path string) (bool, error) {
	if _, err := os.Stat(path); err != nil {
		return false, fmt.Errorf("task: %w", err)
	}
	h := headsOf(path, map[string]heads{}, nil)
	return h.Group != "" && h.Task == "" && !h.Class, nil
}

// groupFile is the form of a group file. Keys that it does not have are those of its tasks, in
// the place of their own.
type groupFile struct {
	Group      string    `yaml:"group"`
	GroupAlias string    `yaml:"group_alias"`
	Task       yaml.Node `yaml:"task"`
	Aggregates yaml.Node `yaml:"aggregate_metric_list"`
	Metadata   yaml.Node `yaml:"metadata"`
	Tag        yaml.Node `yaml:"tag"`
}

// override sets keys of the tasks of a group.
type override struct {
	path string
	node *yaml.Node
}

// groups reads groups: it holds the index of the files around them.
type groups struct {
	index *index
	from  []string // names of the groups that are being read, outermost first
}

// ReadGroup reads a group file and all tasks that it names, but for their data. Names are those
// of the files below the nearest folder called "tasks", or below the folder of the file.
func ReadGroup(path string) (*Group, error) {
	x, err := newIndex(rootOf(path))
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	return (&groups{index: x}).file(path, nil)
}

// file reads a group file.
func (r *groups) file(path string, over []override) (*Group, error) {
	node, err := groupNode(path, nil)
	if err != nil {
		return nil, err
	}
	return r.group(path, "", node, over)
}

// groupNode reads the keys of a group file, with those of the files that it includes.
func groupNode(path string, from []string) (*yaml.Node, error) {
	if slices.Contains(from, path) {
		return nil, &conf.Error{File: path, Key: "include", Msg: "the files include each other"}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	node, err := mapping(path, raw)
	if err != nil {
		return nil, err
	}
	includes, err := includesOf(path, node)
	if err != nil {
		return nil, err
	}
	merged := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: node.Line}
	for _, inc := range includes {
		if !filepath.IsAbs(inc) {
			inc = filepath.Join(filepath.Dir(path), inc)
		}
		other, err := groupNode(inc, append(from, path))
		if err != nil {
			return nil, err
		}
		setKeys(merged, other)
	}
	setKeys(merged, node)
	return without(merged, "include"), nil
}

// setKeys puts the keys of a mapping in the place of those of another.
func setKeys(into, from *yaml.Node) {
	for i := 0; i+1 < len(from.Content); i += 2 {
		key, value := from.Content[i], from.Content[i+1]
		at := slices.IndexFunc(evenly(into.Content), func(n *yaml.Node) bool { return n.Value == key.Value })
		if at >= 0 {
			into.Content[2*at], into.Content[2*at+1] = key, value
			continue
		}
		into.Content = append(into.Content, key, value)
	}
}

// evenly gives the keys among the content of a mapping.
func evenly(content []*yaml.Node) []*yaml.Node {
	var out []*yaml.Node
	for i := 0; i+1 < len(content); i += 2 {
		out = append(out, content[i])
	}
	return out
}

// without gives a mapping less some keys, only those keys of it that are named.
func without(n *yaml.Node, keys ...string) *yaml.Node {
	return selected(n, func(key string) bool { return !slices.Contains(keys, key) })
}

func selected(n *yaml.Node, keep func(key string) bool) *yaml.Node {
	out := *n
	out.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if keep(n.Content[i].Value) {
			out.Content = append(out.Content, n.Content[i], n.Content[i+1])
		}
	}
	return &out
}

// groupKeys are those of a group itself.
var groupKeys = []string{"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"}

// group reads the keys of a group. outer is the name of the group that it stands in, empty for a
// file of its own.
func (r *groups) group(path, outer string, node *yaml.Node, over []override) (*Group, error) {
	own := selected(node, func(key string) bool { return slices.Contains(groupKeys, key) })
	if err := refusedFunction(path, "", own); err != nil {
		return nil, err
	}
	var f groupFile
	if err := conf.Decode(path, own, &f); err != nil {
		return nil, err
	}
	g := &Group{Name: f.Group, Alias: f.GroupAlias, Path: path}
	if outer != "" {
		g.Name = outer + "::" + g.Name
	}
	fail := func(n *yaml.Node, key, format string, args ...any) (*Group, error) {
		return nil, &conf.Error{File: path, Line: n.Line, Key: key, Msg: fmt.Sprintf("group %s: ", g.Name) +
			fmt.Sprintf(format, args...)}
	}
	switch {
	case g.Name == "" || strings.ContainsAny(g.Name, "/\\\n"):
		return fail(node, "group", "want a name without slashes and line ends, got %q", g.Name)
	case slices.Contains(r.from, g.Name):
		return fail(node, "task", "the groups hold each other: %s", strings.Join(append(r.from, g.Name), ", "))
	case !given(&f.Task):
		return fail(node, "task", "want a list of tasks, tags and groups, got nothing")
	}
	r.from = append(r.from, g.Name)
	defer func() { r.from = r.from[:len(r.from)-1] }()
	for _, k := range []struct {
		key string
		n   *yaml.Node
	}{{"metadata", &f.Metadata}, {"tag", &f.Tag}} {
		if given(k.n) {
			g.Ignored = append(g.Ignored, k.key)
		}
	}
	var err error
	if g.Aggregates, err = readAggregates(path, &f.Aggregates); err != nil {
		return nil, err
	}
	if set := without(node, groupKeys...); len(set.Content) > 0 {
		over = append([]override{{path, set}}, over...)
	}
	members := []*yaml.Node{&f.Task}
	if f.Task.Kind == yaml.SequenceNode {
		members = f.Task.Content
	}
	for i, n := range members {
		list, err := r.member(g, n, over)
		if err != nil {
			return nil, fmt.Errorf("group %s: task[%d]: %w", g.Name, i, err)
		}
		g.Members = append(g.Members, list...)
	}
	return g, nil
}

// member reads an entry of the list of a group: a name, or a mapping with one and what is set
// for it.
func (r *groups) member(g *Group, n *yaml.Node, over []override) ([]Member, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		return r.named(g, n, n.Value, over)
	case n.Kind != yaml.MappingNode:
		return nil, &conf.Error{File: g.Path, Line: n.Line, Key: "task", Msg: "want the name of a task, a tag or a " +
			"group, or a mapping with it under task or group"}
	}
	if name := mappingValue(n, "group"); name != nil {
		if file, ok := r.index.groups[name.Value]; ok {
			in, err := r.file(file, r.with(g, n, over, "group", "task", "group_alias", "aggregate_metric_list"))
			return []Member{{Group: in}}, err
		}
		in, err := r.group(g.Path, g.Name, n, over)
		return []Member{{Group: in}}, err
	}
	name := mappingValue(n, "task")
	if name == nil || name.Kind != yaml.ScalarNode {
		return nil, &conf.Error{File: g.Path, Line: n.Line, Key: "task", Msg: "want task or group with a name"}
	}
	over = r.with(g, n, over, "task")
	if !r.knows(name.Value) && mappingValue(n, "output_type") != nil {
		t, err := r.inline(g, name.Value, over)
		return []Member{{Task: t}}, err
	}
	return r.named(g, name, name.Value, over)
}

// with adds what an entry sets, apart from the keys that name it.
func (r *groups) with(g *Group, n *yaml.Node, over []override, naming ...string) []override {
	if set := without(n, naming...); len(set.Content) > 0 {
		return append(slices.Clone(over), override{g.Path, set})
	}
	return over
}

func (r *groups) knows(name string) bool {
	return r.index.groups[name] != "" || r.index.tasks[name] != "" || len(r.index.tags[name]) > 0
}

// named reads what goes by a name: a file, a group, a task, or the tasks of a tag.
func (r *groups) named(g *Group, n *yaml.Node, name string, over []override) ([]Member, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		return r.path(g, name, over)
	}
	if file, ok := r.index.groups[name]; ok {
		in, err := r.file(file, over)
		return []Member{{Group: in}}, err
	}
	tasks := r.index.tags[name]
	if _, ok := r.index.tasks[name]; ok {
		tasks = []string{name}
	}
	if len(tasks) == 0 {
		return nil, &conf.Error{File: g.Path, Line: n.Line, Key: "task",
			Msg: fmt.Sprintf("no task, tag or group below %s is called %q", r.index.root, name)}
	}
	var out []Member
	for _, name := range tasks {
		t, err := r.task(r.index.tasks[name], name, over)
		if err != nil {
			return nil, err
		}
		out = append(out, Member{Task: t})
	}
	return out, nil
}

// path reads a member that is named by its file, relative to that of the group.
func (r *groups) path(g *Group, name string, over []override) ([]Member, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(g.Path), name)
	}
	group, err := IsGroup(name)
	if err != nil {
		return nil, err
	}
	if group {
		in, err := r.file(name, over)
		return []Member{{Group: in}}, err
	}
	t, err := r.task(name, strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), over)
	return []Member{{Task: t}}, err
}

// task reads a task with what its group sets.
func (r *groups) task(path, name string, over []override) (*Task, error) {
	s := newSource(path)
	if err := s.readFile(path, nil); err != nil {
		return nil, err
	}
	if err := s.set(over); err != nil {
		return nil, err
	}
	return s.task(name)
}

// inline reads a task that is written into its group.
func (r *groups) inline(g *Group, name string, over []override) (*Task, error) {
	s := newSource(g.Path)
	s.files = append(s.files, g.Path)
	if err := s.set(over); err != nil {
		return nil, err
	}
	return s.task(g.Name + "::" + name)
}

// set puts what a group sets in the place of what the task has. It belongs to the version of
// the task.
func (s *source) set(over []override) error {
	for _, o := range over {
		text, err := conf.Marshal(o.node)
		if err != nil {
			return err
		}
		s.hash = append(s.hash, text...)
		if !slices.Contains(s.files, o.path) {
			s.files = append(s.files, o.path)
		}
		if err := s.over(o.path, o.node); err != nil {
			return err
		}
	}
	return nil
}

// readAggregates reads aggregate_metric_list: a list, or one entry.
func readAggregates(path string, n *yaml.Node) ([]Aggregate, error) {
	if !given(n) {
		return nil, nil
	}
	entries := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		entries = n.Content
	}
	var out []Aggregate
	for i, e := range entries {
		var f struct {
			Metric      string    `yaml:"metric"`
			Aggregation string    `yaml:"aggregation"`
			BySize      *bool     `yaml:"weight_by_size"`
			Filters     yaml.Node `yaml:"filter_list"`
		}
		key := fmt.Sprintf("aggregate_metric_list[%d]", i)
		fail := func(key, format string, args ...any) error {
			return &conf.Error{File: path, Line: e.Line, Key: key, Msg: fmt.Sprintf(format, args...)}
		}
		if err := refusedFunction(path, key, e); err != nil {
			return nil, err
		}
		if e.Kind != yaml.MappingNode {
			return nil, fail(key, `want "metric: NAME"`)
		}
		if err := conf.Decode(path, e, &f); err != nil {
			return nil, err
		}
		if f.Metric == "" {
			return nil, fail(key+".metric", "want the name of a metric, got nothing")
		}
		if f.Aggregation != "" && f.Aggregation != "mean" {
			return nil, fail(key+".aggregation", "want mean, got %q", f.Aggregation)
		}
		a := Aggregate{Metric: f.Metric, BySize: f.BySize == nil || *f.BySize}
		if given(&f.Filters) {
			list, ok := texts(&f.Filters)
			if !ok {
				return nil, fail(key+".filter_list", "want the name of a filter, or a list of them")
			}
			a.Filters = list
		}
		out = append(out, a)
	}
	return out, nil
}
