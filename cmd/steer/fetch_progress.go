package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"steer/internal/bytesize"
	"steer/rl/train"
)

// downloads shows how downloads go on: one line that is rewritten on a terminal, plain lines at
// most every ten seconds elsewhere.
type downloads struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	what           string
	began, printed time.Time
	from           int64 // bytes that were there when it began
	shown          bool
}

func newDownloads(w io.Writer, terminal bool) *downloads {
	return &downloads{w: w, terminal: terminal, now: time.Now}
}

// downloadsEvery is how often a line is printed: on a terminal, elsewhere.
const (
	downloadsOnTerminal = 200 * time.Millisecond
	downloadsElsewhere  = 10 * time.Second
)

func (d *downloads) progress(what string, done, total int64) {
	now := d.now()
	if what != d.what {
		d.end()
		d.what, d.began, d.from, d.printed = what, now, done, now
	}
	every := downloadsElsewhere
	if d.terminal {
		every = downloadsOnTerminal
	}
	if now.Sub(d.printed) < every {
		return
	}
	d.printed = now
	line := d.line(done, total, now)
	if d.terminal {
		fmt.Fprintf(d.w, "\r%s\x1b[K", line)
		d.shown = true
		return
	}
	fmt.Fprintln(d.w, line)
}

// line is the state of a download in at most 80 columns.
func (d *downloads) line(done, total int64, now time.Time) string {
	tail := "  " + bytesize.Transferred(done)
	if total > 0 {
		tail = fmt.Sprintf("  %s of %s", bytesize.Transferred(done), bytesize.Transferred(total))
	}
	if seconds := now.Sub(d.began).Seconds(); seconds > 0 && done > d.from {
		speed := float64(done-d.from) / seconds
		tail += fmt.Sprintf("  %s/s", bytesize.Transferred(int64(speed)))
		if total > done {
			tail += "  ETA " + train.Clock(time.Duration(float64(total-done)/speed*float64(time.Second)))
		}
	}
	name := []rune(d.what)
	if room := tableColumns - len(tail) - 2; len(name) > room {
		name = append(name[:max(room-1, 0)], '…')
	}
	return "  " + string(name) + tail
}

// note prints a line that stays.
func (d *downloads) note(text string) {
	d.clear()
	for i, line := range wrap(strings.TrimRight(text, "\n"), tableColumns-4) {
		fmt.Fprintf(d.w, "%s%s\n", choose(i == 0, "  ", "    "), line)
	}
}

// end forgets the download that was shown last.
func (d *downloads) end() {
	d.clear()
	d.what = ""
}

func (d *downloads) clear() {
	if d.shown {
		fmt.Fprint(d.w, "\r\x1b[K")
		d.shown = false
	}
}
