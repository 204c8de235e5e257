package main

import (
	"fmt"
	"io"
	"strings"

	"steer/app/experiment"
	"steer/internal/bytesize"
)

// printSets lists sets: what is there, what is missing, where each comes from.
func (f *fetchFlags) printSets(out io.Writer, wanted []experiment.Need, files bool) error {
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
		line := fmt.Sprintf("%-*s  %-*s  %*s  %-*s  %s", width[0], r[0], width[1], r[1], width[2], r[2], width[3], r[3],
			r[4])
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
