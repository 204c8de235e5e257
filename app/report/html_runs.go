package report

import "slices"

// commandsOfRun do one run again; Run is "" where there is one only.
type commandsOfRun struct {
	Run   string
	Lines []string
}

// commands lists what was called, by run and in the order of the stages. One call that
// made several stages stands once.
func (r *Report) commands() []commandsOfRun {
	var out []commandsOfRun
	for i := range r.Stages {
		s := &r.Stages[i]
		if s.Result == nil || len(s.Result.Command) == 0 {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Run != s.Run {
			out = append(out, commandsOfRun{Run: s.Run})
		}
		of, line := &out[len(out)-1], shellLine(s.Result.Command)
		if !slices.Contains(of.Lines, line) {
			of.Lines = append(of.Lines, line)
		}
	}
	return out
}
