package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is a line of `go test -json` (cmd/test2json), or of the build before it.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names a test of a package.
type test struct{ pkg, name string }

// summary is what is known of the tests so far.
type summary struct {
	passed, failed int
	skips          map[string][]test // by reason
	said           map[test][]string // output of tests that have not ended
	order          []test            // of said
}

// read prints events as `go test` without -v would, and keeps the skips.
func (s *summary) read(events io.Reader, out io.Writer) error {
	s.skips, s.said = map[string][]test{}, map[test][]string{}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				_, _ = out.Write(line) // go itself speaks, such as of a wrong flag
			} else {
				s.add(e, out)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) add(e event, out io.Writer) {
	t := test{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(out, e.Output)
	case e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "=== ") {
			fmt.Fprint(out, e.Output)
		}
	case e.Action == "output":
		if _, known := s.said[t]; !known {
			s.order = append(s.order, t)
		}
		s.said[t] = append(s.said[t], e.Output)
	case e.Test == "" && e.Action == "fail":
		for _, t := range slices.Clone(s.order) { // a crash or the time limit left them without an end
			if t.pkg == e.Package {
				s.end(t, out)
			}
		}
	case e.Test == "":
	case e.Action == "pass":
		s.passed++
		s.end(t, nil)
	case e.Action == "fail":
		s.failed++
		s.end(t, out)
	case e.Action == "skip":
		why := reason(s.said[t])
		s.skips[why] = append(s.skips[why], t)
		s.end(t, nil)
	}
}

// end forgets what a test said, printing it first where out is not nil.
func (s *summary) end(t test, out io.Writer) {
	for _, line := range s.said[t] {
		if out != nil && !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(out, line)
		}
	}
	delete(s.said, t)
	s.order = slices.DeleteFunc(s.order, func(o test) bool { return o == t })
}

var position = regexp.MustCompile(`^\s+\S+\.go:\d+: `)

// reason is what a skipped test said last.
func reason(said []string) string {
	for _, line := range slices.Backward(said) {
		if at := position.FindString(line); at != "" {
			return strings.TrimSpace(line[len(at):])
		}
	}
	return "no reason given"
}

// print lists the skipped tests by reason.
func (s *summary) print(out io.Writer) {
	n := 0
	for _, tests := range s.skips {
		n += len(tests)
	}
	fmt.Fprintf(out, "\n%d tests passed, %d failed, %d skipped\n", s.passed, s.failed, n)
	for _, why := range slices.Sorted(maps.Keys(s.skips)) {
		fmt.Fprintf(out, "skipped: %s\n", why)
		for _, t := range s.skips[why] {
			fmt.Fprintf(out, "    %s %s\n", t.pkg, t.name)
		}
	}
}

// avoidable says which skips are not in the list, and whether there are any.
func (s *summary) avoidable(out io.Writer) bool {
	found := false
	for _, why := range slices.Sorted(maps.Keys(s.skips)) {
		if !slices.ContainsFunc(unavoidable, func(u skip) bool { return strings.Contains(why, u.reason) }) {
			fmt.Fprintf(out, "not allowed here (internal/testsum/skips.go): %s\n", why)
			found = true
		}
	}
	return found
}
