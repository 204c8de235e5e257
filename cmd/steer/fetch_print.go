package main

import (
	"fmt"
	"io"
	"path/filepath"

	"steer/app/experiment"
	"steer/internal/bytesize"
	"steer/internal/fetch"
)

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
