package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"steer/app/jobs"
	"steer/internal/fetch"
)

// listData is where "eval --list" looks without --data: where the experiments have their data.
const listData = "data"

// list prints what can be measured and which data are there.
func (f *evalFlags) list(a *app, data string) error {
	if data == "" {
		data = listData
	}
	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	l, err := jobs.List(data, jobs.SuiteName(f.preset))
	if err != nil {
		return usage(err)
	}
	if f.asJSON {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(l)
	}
	return printListing(a.out, l)
}

func printListing(w io.Writer, l *jobs.Listing) error {
	var b strings.Builder
	say := func(indent int, text string) {
		for _, line := range wrap(text, tableColumns-indent) {
			fmt.Fprintf(&b, "%s%s\n", strings.Repeat(" ", indent), line)
		}
	}
	say(0, "Suites (--suite):")
	for _, s := range l.Suites {
		say(2, fmt.Sprintf("%s: %s", s.Name, strings.TrimSpace(s.About)))
	}
	b.WriteString("\n")
	say(0, fmt.Sprintf("Benchmarks, with their data in %s (--data):", relative(l.Data)))
	there := map[string]bool{} // files, each once
	sets := map[string]bool{}  // of the catalogue, with files that are missing
	for _, m := range l.Benchmarks {
		head := m.Name + ": " + strings.Join(m.Protocols, ", ")
		if len(m.RewardProtocols) > 0 {
			if len(m.Protocols) > 0 {
				head += "; "
			}
			head += "of reward models: " + strings.Join(m.RewardProtocols, ", ")
		}
		var in []string
		for _, s := range m.Suites {
			in = append(in, string(s))
		}
		if len(in) > 0 {
			head += " [" + strings.Join(in, ", ") + "]"
		}
		say(2, head)
		said := map[string]bool{}
		for _, d := range m.Data {
			file := strings.Join(d.Files, " or ")
			if file != "" && said[file] {
				continue // read for two purposes
			}
			said[file] = true
			switch {
			case len(d.Files) == 0:
				say(4, fmt.Sprintf("in no suite: name its file, --set %s.path=FILE", d.Key))
				continue
			case d.Found != "":
				say(4, "there: "+below(l.Data, d.Found))
			default:
				say(4, "missing: "+file)
				say(6, "from "+d.From)
				if set, _, _, ok := fetch.Known().Find(d.Files[0]); ok {
					sets[set.Name] = true
				}
			}
			there[file] = d.Found != ""
		}
	}
	b.WriteString("\n")
	found := 0
	for _, ok := range there {
		if ok {
			found++
		}
	}
	say(0, fmt.Sprintf("%d of %d data files are there.", found, len(there)))
	if len(sets) > 0 {
		command := "steer fetch " + strings.Join(slices.Sorted(maps.Keys(sets)), " ")
		if shown := relative(l.Data); shown != listData {
			command += " --data " + shown
		}
		say(0, "What is missing comes with:")
		for i, line := range wrap(command, tableColumns-6) {
			fmt.Fprintf(&b, "%s%s", choose(i == 0, "  ", " \\\n    "), line)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// below shows a path relative to the folder it lies in.
func below(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}
