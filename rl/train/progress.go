package train

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Value is a named number of a progress line.
type Value struct {
	Name  string
	Value float64
}

// Status is the state of a job as its progress line shows it.
type Status struct {
	Stage       string // "sft", "reward deontology", "ppo virtue"
	Step, Total int64  // Total 0: not known
	Values      []Value
	// TokensPerSecond and ETA are left out of the line where 0.
	TokensPerSecond float64
	ETA             time.Duration
}

// Progress shows how a job goes on.
type Progress interface {
	// Step shows a state; it may be called as often as one likes.
	Step(Status)
	// Note prints a line that stays: a warning, an evaluation, a checkpoint.
	Note(text string)
}

// Quiet shows nothing.
type Quiet struct{}

// Step implements Progress.
func (Quiet) Step(Status) {}

// Note implements Progress.
func (Quiet) Note(string) {}

// Columns is the widest progress line.
const Columns = 80

// Line renders a status in at most Columns columns; values that do not fit are left
// out from the end, and a long name of the stage loses its own.
func (s Status) Line() string {
	count := fmt.Sprintf(" %d", s.Step)
	if s.Total > 0 {
		count += fmt.Sprintf("/%d", s.Total)
	}
	tail := ""
	if s.TokensPerSecond > 0 {
		tail += "  " + short(s.TokensPerSecond) + " tok/s"
	}
	if s.ETA > 0 {
		tail += "  ETA " + Clock(s.ETA)
	}
	stage := []rune(s.Stage)
	if room := max(Columns-len(count)-len(tail), 1); len(stage) > room {
		stage = append(stage[:room-1], '…')
	}
	head := string(stage) + count
	for _, v := range s.Values {
		part := "  " + v.Name + " " + short(v.Value)
		if utf8.RuneCountInString(head)+utf8.RuneCountInString(part)+len(tail) > Columns {
			break
		}
		head += part
	}
	line := []rune(head + tail)
	return string(line[:min(len(line), Columns)])
}

// short prints about four digits.
func short(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0) || a != 0 && (a < 1e-3 || a >= 1e6):
		return fmt.Sprintf("%.2g", x)
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.3f", x)
	}
}

// Clock prints a duration as 1:02:03 or 2:03.
func Clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// terminal rewrites one line; plain prints a line every few seconds.
type terminal struct {
	mu    sync.Mutex
	w     io.Writer
	shown bool
}

type plain struct {
	mu    sync.Mutex
	w     io.Writer
	every time.Duration
	now   func() time.Time
	last  time.Time
	stage string
}

// NewProgress shows progress on w: one updating line if w is a terminal, otherwise a
// plain line at most every 10 seconds (and for the first and last step of a stage).
func NewProgress(w io.Writer, isTerminal bool) Progress {
	if isTerminal {
		return &terminal{w: w}
	}
	return &plain{w: w, every: 10 * time.Second, now: time.Now}
}

func (t *terminal) Step(s Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// \x1b[K clears what an earlier, longer line left.
	fmt.Fprintf(t.w, "\r%s\x1b[K", s.Line())
	t.shown = true
	if s.Total > 0 && s.Step >= s.Total {
		fmt.Fprintln(t.w)
		t.shown = false
	}
}

func (t *terminal) Note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shown {
		fmt.Fprint(t.w, "\r\x1b[K")
		t.shown = false
	}
	fmt.Fprintln(t.w, strings.TrimRight(text, "\n"))
}

func (p *plain) Step(s Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	done := s.Total > 0 && s.Step >= s.Total
	if s.Stage == p.stage && !done && now.Sub(p.last) < p.every {
		return
	}
	p.stage, p.last = s.Stage, now
	fmt.Fprintln(p.w, s.Line())
}

func (p *plain) Note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, strings.TrimRight(text, "\n"))
}
