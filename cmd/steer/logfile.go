package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// logFile is what --log-file names: lines with their time, appended, each on disk before the
// next. A nil one takes nothing.
type logFile struct {
	mu   sync.Mutex
	f    *os.File
	now  func() time.Time
	lost func(error) // is told once that no more can be written
}

func openLog(path string) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	return &logFile{f: f, now: time.Now}, nil
}

// Write implements io.Writer for whole lines. It never fails: a log that cannot be written is no
// reason to end what it is of.
func (l *logFile) Write(text []byte) (int, error) {
	l.write(string(text))
	return len(text), nil
}

// write appends a text of some lines.
func (l *logFile) write(text string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return
	}
	at := l.now().UTC().Format(time.RFC3339)
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintf(&b, "%s %s\n", at, line)
	}
	_, err := l.f.WriteString(b.String())
	if sync := l.f.Sync(); err == nil && !unsyncable(sync) {
		err = sync
	}
	if err != nil {
		_ = l.f.Close()
		l.f = nil
		l.lost(err)
	}
}

// unsyncable: a pipe or a terminal has nothing to sync.
func unsyncable(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}

// close ends the log.
func (l *logFile) close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}
