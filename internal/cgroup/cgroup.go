package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Limits is what the control groups allow.
type Limits struct {
	// Memory is how many bytes may still be taken, page cache that the kernel would give back
	// included; negative where no group has a limit. MemoryFrom is the group that sets it.
	Memory     int64
	MemoryFrom string
	// CPUs is the quota in CPUs, such as 1.5; 0 where no group has one. CPUsFrom is the group
	// that sets it.
	CPUs     float64
	CPUsFrom string
}

// Read reads the limits of this process. root is the root of the file system, with proc and
// what it says is mounted. A system without control groups has no limits.
func Read(root fs.FS) (Limits, error) {
	l := Limits{Memory: -1}
	groups, err := read(root, "/proc/self/cgroup")
	if err != nil || groups == "" {
		return l, err
	}
	mounts, err := read(root, "/proc/self/mountinfo")
	if err != nil {
		return l, err
	}
	h := &hierarchies{root: root, groups: groups, mounts: parseMounts(mounts)}
	return l, errors.Join(l.memory(h), l.cpus(h))
}

// room keeps the tightest limit of memory.
func (l *Limits) room(bytes int64, of string) {
	if bytes = max(0, bytes); l.Memory < 0 || bytes < l.Memory {
		l.Memory, l.MemoryFrom = bytes, of
	}
}

// memory goes through the groups that count memory. A group's use holds that of the groups in
// it, and page cache, which is given back before anything is refused.
func (l *Limits) memory(h *hierarchies) error {
	for _, dir := range h.dirs("memory", false) {
		limit, err := h.number(dir, "memory.limit_in_bytes")
		if err != nil {
			return err
		}
		use, err := h.number(dir, "memory.usage_in_bytes")
		if err != nil {
			return err
		}
		stat, err := h.fields(dir, "memory.stat")
		if err != nil {
			return err
		}
		if above, ok := stat["hierarchical_memory_limit"]; ok { // of groups that a container does not see, too
			limit = min(limit, above)
		}
		// A limit of 2^63 less a page is how this version says "none".
		if own, ok := stat["total_inactive_file"]; ok && limit < math.MaxInt64/2 {
			l.room(limit-use+own+stat["total_active_file"], dir)
		} else if limit < math.MaxInt64/2 {
			l.room(limit-use+stat["inactive_file"]+stat["active_file"], dir)
		}
		if whole, err := h.number(dir, "memory.use_hierarchy"); err == nil && whole == 0 {
			break // the groups above do not count this one
		}
	}
	for _, dir := range h.dirs("memory", true) {
		limit, err := h.number(dir, "memory.max")
		if err != nil {
			return err
		}
		// Above "high" nothing is killed, but every allocation waits.
		high, err := h.number(dir, "memory.high")
		if err != nil {
			return err
		}
		if limit = min(limit, high); limit == math.MaxInt64 {
			continue
		}
		use, err := h.number(dir, "memory.current")
		if err != nil {
			return err
		}
		stat, err := h.fields(dir, "memory.stat")
		if err != nil {
			return err
		}
		l.room(limit-use+stat["inactive_file"]+stat["active_file"], dir)
	}
	return nil
}

// cpus goes through the groups that have a quota of CPU time.
func (l *Limits) cpus(h *hierarchies) error {
	quota := func(microseconds, period int64, of string) {
		if cpus := float64(microseconds) / float64(period); period > 0 && (l.CPUs == 0 || cpus < l.CPUs) {
			l.CPUs, l.CPUsFrom = cpus, of
		}
	}
	for _, dir := range h.dirs("cpu", false) {
		us, err := h.number(dir, "cpu.cfs_quota_us")
		if err != nil {
			return err
		}
		period, err := h.number(dir, "cpu.cfs_period_us")
		if err != nil {
			return err
		}
		if us > 0 && us < math.MaxInt64 { // -1: none
			quota(us, period, dir)
		}
	}
	for _, dir := range h.dirs("cpu", true) {
		text, err := read(h.root, path.Join(dir, "cpu.max"))
		if err != nil {
			return err
		}
		fields := strings.Fields(text)
		if len(fields) == 0 || fields[0] == "max" {
			continue
		}
		us, err1 := strconv.ParseInt(fields[0], 10, 64)
		period, err2 := int64(100000), error(nil)
		if len(fields) > 1 {
			period, err2 = strconv.ParseInt(fields[1], 10, 64)
		}
		if err := errors.Join(err1, err2); err != nil || us <= 0 {
			return fmt.Errorf("%s/cpu.max: want a quota and a period, got %q", dir, text)
		}
		quota(us, period, dir)
	}
	return nil
}

// hierarchies are the trees of control groups of this process.
type hierarchies struct {
	root   fs.FS
	groups string // /proc/self/cgroup
	mounts []mount
}

// mount is a tree, or the part of it below from, that can be seen at.
type mount struct {
	at, from string
	v2       bool
	options  []string // of version 1: its controllers
}

// parseMounts reads /proc/self/mountinfo:
// "36 35 98:0 /from /at rw,noatime shared:1 - type source options".
func parseMounts(text string) (out []mount) {
	for _, line := range strings.Split(text, "\n") {
		where, what, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(where), strings.Fields(what)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		if right[0] == "cgroup" || right[0] == "cgroup2" {
			out = append(out, mount{
				at: unescape(left[4]), from: unescape(left[3]), v2: right[0] == "cgroup2",
				options: strings.Split(right[2], ","),
			})
		}
	}
	return out
}

// unescape undoes the kernel's octal escapes of blanks, tabs, newlines and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// dirs are the folders of the groups of this process in the tree of a controller, its own
// first, up to the highest that can be seen.
func (h *hierarchies) dirs(controller string, v2 bool) (out []string) {
	group, ok := h.group(controller, v2)
	if !ok {
		return nil
	}
	at, ok := "", false
	for _, m := range h.mounts {
		if m.v2 != v2 || !v2 && !contains(m.options, controller) {
			continue
		}
		below, inside := strings.CutPrefix(group, strings.TrimSuffix(m.from, "/"))
		if inside && (below == "" || below[0] == '/') {
			at, group, ok = m.at, below, true
			break
		}
		if !ok { // a container that sees its own group as the root, and is told the host's name of it
			at, ok = m.at, true
		}
	}
	if !ok {
		return nil
	}
	if _, err := fs.Stat(h.root, name(path.Join(at, group))); err != nil {
		group = ""
	}
	for dir := path.Join(at, group); ; dir = path.Dir(dir) {
		out = append(out, dir)
		if dir == at || dir == "/" || dir == "." {
			return out
		}
	}
}

// group is the name of this process's group, "/" at the root.
func (h *hierarchies) group(controller string, v2 bool) (string, bool) {
	for _, line := range strings.Split(h.groups, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		if v2 && parts[0] == "0" && parts[1] == "" || !v2 && contains(strings.Split(parts[1], ","), controller) {
			return path.Clean("/" + parts[2]), true // "/../x": outside of what can be seen
		}
	}
	return "", false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// number reads a file that holds a number; "max", and a file that is not there, are no limit.
func (h *hierarchies) number(dir, file string) (int64, error) {
	text, err := read(h.root, path.Join(dir, file))
	if err != nil {
		return 0, err
	}
	text = strings.TrimSpace(text)
	if text == "" || text == "max" {
		return math.MaxInt64, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s/%s: want a number, got %q", dir, file, text)
	}
	return n, nil
}

// fields reads lines of a name and a number.
func (h *hierarchies) fields(dir, file string) (map[string]int64, error) {
	text, err := read(h.root, path.Join(dir, file))
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
			out[key] = n
		}
	}
	return out, nil
}

// read reads a file; one that is not there is empty.
func read(root fs.FS, file string) (string, error) {
	raw, err := fs.ReadFile(root, name(file))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(raw), err
}

// name is a path as io/fs has it.
func name(file string) string {
	if file = strings.TrimPrefix(path.Clean(file), "/"); file == "" {
		return "."
	}
	return file
}
