package train

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Detailer is a Progress that also shows what only those who ask want to know.
type Detailer interface{ Detail(text string) }

// Detail prints a line on p, if it shows details.
func Detail(p Progress, format string, args ...any) {
	if d, ok := p.(Detailer); ok {
		d.Detail(fmt.Sprintf(format, args...))
	}
}

// Verbose shows every step as a line that stays, and details.
func Verbose(w io.Writer) Progress { return verbose{&plain{w: w, now: time.Now}} }

type verbose struct{ *plain }

// Detail implements Detailer.
func (v verbose) Detail(text string) { v.Note(text) }

// Warnings shows what is a warning and nothing else.
func Warnings(w io.Writer) Progress { return &warnings{w: w} }

type warnings struct {
	mu sync.Mutex
	w  io.Writer
}

// Step implements Progress.
func (*warnings) Step(Status) {}

// Note implements Progress.
func (q *warnings) Note(text string) {
	if !IsWarning(text) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	fmt.Fprintln(q.w, strings.TrimRight(text, "\n"))
}

// warningMark is how warnings begin, behind the name of what they are about.
const warningMark = "warning: "

// IsWarning tells a note that warns from others.
func IsWarning(note string) bool {
	before, _, ok := strings.Cut(note, warningMark)
	return ok && (before == "" || strings.HasSuffix(before, ": "))
}

// Both shows everything twice, details where they are shown.
func Both(a, b Progress) Progress { return both{a, b} }

type both struct{ a, b Progress }

// Step implements Progress.
func (x both) Step(s Status) { x.a.Step(s); x.b.Step(s) }

// Note implements Progress.
func (x both) Note(text string) { x.a.Note(text); x.b.Note(text) }

// Detail implements Detailer.
func (x both) Detail(text string) {
	Detail(x.a, "%s", text)
	Detail(x.b, "%s", text)
}

// Painted passes notes through paint before p shows them.
func Painted(p Progress, paint func(string) string) Progress { return painted{p, paint} }

type painted struct {
	Progress
	paint func(string) string
}

// Note implements Progress.
func (x painted) Note(text string) { x.Progress.Note(x.paint(text)) }

// Detail implements Detailer.
func (x painted) Detail(text string) { Detail(x.Progress, "%s", text) }
