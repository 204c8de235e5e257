package function

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// How long a program may take to end by itself once its input ended, and once it was asked to.
const (
	endGrace  = 5 * time.Second
	termGrace = 2 * time.Second
)

// event is a line of a copy, or, where that is nil, its end.
type event struct {
	from  *process
	line  []byte
	long  bool   // the line is longer than an answer may be
	how   string // it ended: "ended with exit status 1"
	clean bool   // with exit status 0
}

// process is one copy of a program. It runs in a process group of its own, so that a Ctrl-C in the
// terminal ends the round first, and so that it can be ended with all that it has started.
type process struct {
	cmd    *exec.Cmd
	in     *writer
	out    *os.File
	tail   *tail
	exited chan struct{}  // closed when it was waited for
	quit   chan struct{}  // closed when nobody hears its events any more
	reader sync.WaitGroup // of its output

	timeout, startTimeout time.Duration

	asked    []asked   // what it has not answered, in order
	due      time.Time // of the next answer, if it was asked
	fresh    bool      // it has answered nothing yet
	tellsIDs *bool     // its answers have ids; nil: not known yet
}

// startProcess starts a copy whose lines become events.
func startProcess(c *Command, events chan<- event, log *stderrLog, prefix string) (p *process, err error) {
	p = &process{cmd: exec.Command(c.Args[0], c.Args[1:]...), tail: &tail{}, exited: make(chan struct{}),
		quit: make(chan struct{}), timeout: c.Timeout, startTimeout: c.StartTimeout, fresh: true}
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(p.cmd.Environ(), "PYTHONUNBUFFERED=1") // or a print without flush is never seen
	for name, value := range c.Env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	ownGroup(p.cmd)
	pipes := [3][2]*os.File{} // reader, writer
	for i := range pipes {
		if pipes[i][0], pipes[i][1], err = os.Pipe(); err != nil {
			return nil, errors.Join(err, closePipes(pipes))
		}
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = pipes[0][0], pipes[1][1], pipes[2][1]
	if err := p.launch(); err != nil {
		return nil, errors.Join(err, closePipes(pipes))
	}
	err = errors.Join(pipes[0][0].Close(), pipes[1][1].Close(), pipes[2][1].Close())
	p.in, p.out = newWriter(pipes[0][1]), pipes[1][0]
	p.reader.Add(2)
	go p.readLines(events)
	go p.readErrors(pipes[2][0], log, prefix)
	return p, err
}

func closePipes(pipes [3][2]*os.File) error {
	var errs []error
	for _, ends := range pipes {
		for _, f := range ends {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// launch starts the program and waits for it on one thread: Linux ends it when that thread ends, not when
// the process does, and a thread of Go's own may.
func (p *process) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended stands in its state
			close(p.exited)
		}
	}()
	return <-started
}

// readLines makes events of the lines of standard output, and at its end of how the program ended.
func (p *process) readLines(events chan<- event) {
	defer p.reader.Done()
	tell := func(e event) bool {
		e.from = p
		select {
		case events <- e:
			return true
		case <-p.quit:
			return false
		}
	}
	lines := bufio.NewScanner(p.out)
	lines.Buffer(make([]byte, 4<<10), maxAnswerBytes)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) > 0 && !tell(event{line: bytes.Clone(line)}) {
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		tell(event{line: []byte{}, long: true})
		return
	}
	how := event{how: "closed its standard output"}
	select {
	case <-p.exited:
		state := p.cmd.ProcessState
		how.how, how.clean = "ended: "+state.String(), state.Success()
	case <-time.After(termGrace):
	case <-p.quit:
	}
	tell(how)
}

// readErrors keeps what the program writes to standard error.
func (p *process) readErrors(from *os.File, log *stderrLog, prefix string) {
	defer p.reader.Done()
	defer from.Close()
	go func() { // what it started may hold its standard error open longer than it lives itself
		<-p.quit
		_ = from.SetReadDeadline(time.Now().Add(termGrace)) // a pipe has deadlines where this system knows them
	}()
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := lines.ReadSlice('\n') // or a part of a very long one
		if len(line) > 0 {
			p.tail.add(string(bytes.TrimRight(line, "\r\n")))
			log.write(prefix, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// kill ends the copy and all of its process group at once.
func (p *process) kill() { killGroup(p.cmd.Process, true) }

// finish waits for the copy's end and sees to it.
func (p *process) finish() {
	p.in.end()
	if !p.exits(endGrace) {
		killGroup(p.cmd.Process, false)
		if !p.exits(termGrace) {
			p.kill()
			<-p.exited
		}
	}
	p.kill() // what it started and left behind
	_ = p.out.SetReadDeadline(time.Now().Add(termGrace))
	close(p.quit)
	p.reader.Wait()
	p.in.wait()
	_ = p.out.Close() // read to its end
}

// exits waits for the copy's end.
func (p *process) exits(within time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(within):
		return false
	}
}

// writer gives a program its lines without waiting for it to read them.
type writer struct {
	mu     sync.Mutex
	more   *sync.Cond
	lines  [][]byte
	ending bool
	done   chan struct{}
}

func newWriter(to io.WriteCloser) *writer {
	w := &writer{done: make(chan struct{})}
	w.more = sync.NewCond(&w.mu)
	go func() {
		defer close(w.done)
		defer to.Close()
		for {
			line, ok := w.next()
			if !ok {
				return
			}
			if _, err := to.Write(line); err != nil {
				return // it reads no more: its output tells why
			}
		}
	}()
	return w
}

func (w *writer) next() ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.lines) == 0 && !w.ending {
		w.more.Wait()
	}
	if len(w.lines) == 0 {
		return nil, false
	}
	line := w.lines[0]
	w.lines = w.lines[1:]
	return line, true
}

func (w *writer) write(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
	w.more.Signal()
}

// end closes the input once all of it is written.
func (w *writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
	w.more.Signal()
}

func (w *writer) wait() { <-w.done }

// tail is the end of what a program wrote to standard error.
type tail struct {
	mu   sync.Mutex
	kept []string
}

// tailLines is how many lines errors show.
const tailLines = 12

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept = append(t.kept, strings.ToValidUTF8(line, "\uFFFD")); len(t.kept) > tailLines {
		t.kept = t.kept[1:]
	}
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string{}, t.kept...)
}

// maxLogBytes bounds the file of a standard error.
const maxLogBytes = 64 << 20

// stderrLog is the file of the standard error of all copies. It is made with its first line.
type stderrLog struct {
	mu   sync.Mutex
	path string
	f    *os.File
	size int64
	err  error // of writing: told at the end
}

func openStderrLog(path string) (*stderrLog, error) {
	l := &stderrLog{path: path}
	if path == "" {
		return l, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	var err error
	if l.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
		return nil, err
	}
	st, err := l.f.Stat()
	if err != nil {
		return nil, errors.Join(err, l.f.Close())
	}
	l.size = st.Size()
	return l, nil
}

func (l *stderrLog) write(prefix string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil || l.err != nil || l.size >= maxLogBytes {
		return
	}
	text := prefix + string(line)
	if l.size += int64(len(text)); l.size >= maxLogBytes {
		text = fmt.Sprintf("(%d bytes: what follows is not kept)\n", maxLogBytes)
	}
	_, l.err = l.f.WriteString(text)
}

func (l *stderrLog) close() error {
	if l.f == nil {
		return nil
	}
	err := errors.Join(l.err, l.f.Close())
	l.f = nil
	return err
}
