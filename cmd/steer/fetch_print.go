package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"steer/internal/bytesize"
	"steer/internal/experiment"
	"steer/internal/fetch"
)

// setReport is what "steer fetch --json" prints of a set.
type setReport struct {
	Name    string     `json:"name"`
	Title   string     `json:"title"`
	Kind    fetch.Kind `json:"kind"`
	Folder  string     `json:"folder"`
	Source  string     `json:"source"`
	Page    string     `json:"page"`
	Licence string     `json:"licence"`
	Cite    string     `json:"cite"`
	Gated   bool       `json:"gated,omitempty"`
	Command string     `json:"command"`
	// Bytes are the sizes that are known, of all files if Whole size is known.
	Bytes        int64        `json:"bytes"`
	BytesUnknown bool         `json:"bytes_unknown,omitempty"`
	Files        []fileReport `json:"files"`
}

type fileReport struct {
	Path  string      `json:"path"`
	State fetch.State `json:"state"`
	// Bytes and SHA256 of the file that is there, where it was read.
	Bytes   int64  `json:"bytes,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Release string `json:"release_sha256,omitempty"`
	Fetched bool   `json:"fetched,omitempty"`
	From    string `json:"from,omitempty"`
	Note    string `json:"note,omitempty"`
	Error   string `json:"error,omitempty"`
}

func reportOf(w experiment.Need, results []fetch.Result) setReport {
	s := w.Set
	r := setReport{
		Name: s.Name, Title: s.Title, Kind: s.Kind, Folder: w.Dir, Source: s.Source(), Page: s.Page,
		Licence: s.Licence, Cite: s.Cite, Gated: s.Gated, Command: s.Command(), Files: []fileReport{},
	}
	r.Bytes, r.BytesUnknown = s.Size()
	for _, x := range results {
		f := fileReport{
			Path: relative(x.Path), State: x.State, Bytes: x.Found.Bytes, SHA256: x.Found.SHA256,
			Release: x.File.SHA256, Fetched: x.Fetched, From: x.From, Note: x.Note,
		}
		if x.Err != nil {
			f.Error = x.Err.Error()
		}
		r.Files = append(r.Files, f)
	}
	return r
}

// looked makes results of what is only looked at.
func looked(have []fetch.Status) []fetch.Result {
	out := make([]fetch.Result, len(have))
	for i, s := range have {
		out[i].Status = s
	}
	return out
}

// writeHead says what will be fetched, and under which terms.
func writeHead(w io.Writer, n experiment.Need) {
	s := n.Set
	sum, unknown := s.Size()
	size := bytesize.Transferred(sum)
	switch {
	case sum == 0:
		size = "size not known"
	case unknown:
		size += " and more"
	}
	fmt.Fprintf(w, "%s: %s\n", s.Name, s.Title)
	for _, line := range []string{
		fmt.Sprintf("%s, %s, from %s", count(len(s.Files), "file"), size, s.Source()),
		"licence " + s.Licence + ", see " + s.Page,
		"cite " + s.Cite,
	} {
		for i, part := range wrap(line, tableColumns-4) {
			fmt.Fprintf(w, "%s%s\n", choose(i == 0, "  ", "    "), part)
		}
	}
}

// writeResults says what became of the files.
func writeResults(w io.Writer, n experiment.Need, results []fetch.Result) {
	there := 0
	var notes []string
	counts := map[string]int{}
	for _, r := range results {
		switch {
		case r.Err != nil || !r.Fit():
			continue
		case r.Fetched:
			fmt.Fprintf(w, "  %8s  %s\n", bytesize.Transferred(r.Found.Bytes), relative(r.Path))
			fmt.Fprintf(w, "            %s\n", r.Found.SHA256)
		default:
			there++
		}
		if r.Note != "" {
			if counts[r.Note] == 0 {
				notes = append(notes, r.Note)
			}
			counts[r.Note]++
		}
	}
	if there > 0 {
		fmt.Fprintf(w, "%s: %s already there, checked (%s)\n", n.Set.Name, count(there, "file"), relative(n.Dir))
	}
	for _, note := range notes {
		text := fmt.Sprintf("note: %s of %s: %s", count(counts[note], "file"), n.Set.Name, note)
		if counts[note] == 1 {
			for _, r := range results {
				if r.Note == note {
					text = fmt.Sprintf("note: %s: %s", filepath.Base(r.Path), note)
				}
			}
		}
		for _, line := range wrap(text, tableColumns-2) {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// show lists sets: what is there, what is missing, where each comes from.
func (f *fetchFlags) show(out io.Writer, wanted []experiment.Need, files bool) error {
	var all []setReport
	var rows [][5]string
	for _, w := range wanted {
		have, err := f.fetcher(nil, w).Look(w.Set, f.verify)
		if err != nil {
			return err
		}
		r := reportOf(w, looked(have))
		all = append(all, r)
		fit := 0
		for _, s := range have {
			if s.Fit() {
				fit++
			}
		}
		state := fmt.Sprintf("%d of %d", fit, len(have))
		switch fit {
		case 0:
			state = "missing"
		case len(have):
			state = "there"
		}
		size := choose(r.Bytes == 0, "?", bytesize.Transferred(r.Bytes)+choose(r.BytesUnknown, "+", ""))
		rows = append(rows, [5]string{r.Name, state, size, shortLicence(r.Licence), w.Set.Host()})
	}
	if f.asJSON {
		return writeJSON(out, all)
	}
	rows = append([][5]string{{"NAME", "FILES", "SIZE", "LICENCE", "FROM"}}, rows...)
	var width [5]int
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], len(cell))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %-*s  %*s  %-*s  %s", width[0], r[0], width[1], r[1], width[2], r[2], width[3], r[3], r[4])
		fmt.Fprintln(out, strings.TrimRight(string([]rune(line)[:min(len([]rune(line)), tableColumns)]), " "))
	}
	if !files {
		_, err := fmt.Fprint(out, "\nSizes: + and more, ? not known before it is fetched.\n"+
			"\"steer fetch NAME\" fetches one, \"steer fetch --list NAME\" tells more of it.\n")
		return err
	}
	for i, r := range all {
		fmt.Fprintln(out)
		if err := r.write(out, wanted[i].Set.Address()); err != nil {
			return err
		}
	}
	return nil
}

// shortLicence is a licence for a table.
func shortLicence(licence string) string {
	licence, _, _ = strings.Cut(licence, ";")
	licence = strings.TrimSuffix(licence, " License")
	if len(licence) > 18 {
		licence = licence[:15] + "..."
	}
	return licence
}

// write tells all of a set.
func (r setReport) write(w io.Writer, address string) error {
	var t table
	t.add(r.Name, "%s", r.Title)
	t.add("from", "%s", address)
	if r.Page != address {
		t.add("page", "%s", r.Page)
	}
	t.add("licence", "%s%s", r.Licence, choose(r.Gated, "; gated: needs HF_TOKEN", ""))
	t.add("cite", "%s", r.Cite)
	if err := t.write(w); err != nil {
		return err
	}
	for _, f := range r.Files {
		fmt.Fprintf(w, "  %-8s  %s\n", f.State, f.Path)
		if f.Release != "" {
			fmt.Fprintf(w, "            %s\n", f.Release)
		}
		if f.Note != "" {
			for _, line := range wrap(f.Note, tableColumns-12) {
				fmt.Fprintf(w, "            %s\n", line)
			}
		}
	}
	return nil
}

// check hashes what is there and fails if a file is not what it should be.
func (f *fetchFlags) check(out io.Writer, wanted []experiment.Need) error {
	var all []setReport
	bad := 0
	for _, w := range wanted {
		have, err := f.fetcher(nil, w).Look(w.Set, true)
		if err != nil {
			return err
		}
		all = append(all, reportOf(w, looked(have)))
		for _, s := range have {
			if s.State == fetch.Changed {
				bad++
			}
			if !f.asJSON && s.State != fetch.Missing {
				fmt.Fprintf(out, "%-8s  %s\n", s.State, relative(s.Path))
				if s.Note != "" {
					for _, line := range wrap(s.Note, tableColumns-10) {
						fmt.Fprintf(out, "          %s\n", line)
					}
				}
			}
		}
	}
	if f.asJSON {
		if err := writeJSON(out, all); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s not what the release has: \"steer fetch --force NAME\" fetches a set again",
			choose(bad == 1, "1 file is", fmt.Sprintf("%d files are", bad)))
	}
	return nil
}
