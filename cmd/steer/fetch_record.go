package main

import (
	"steer/app/experiment"
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
