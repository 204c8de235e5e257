package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/demo"
)

// The tests in e2e_*_test.go run the built program as a user would: processes are
// started, killed and started again, and what they leave on disk is compared.

// e2eVersion is the version that the program under test is built with.
const e2eVersion = "e2e-test"

// e2ePatience bounds one process. Jobs here take well under a second of CPU time; the
// bound is for a machine that has something else to do.
const e2ePatience = 10 * time.Minute

// e2eAttempts bounds how often a test tries to meet a process at a certain moment: a
// machine with little to spare may look too late.
const e2eAttempts = 20

func TestMain(m *testing.M) {
	if mode := os.Getenv(graderMode); mode != "" { // a reward function that a run has started
		grade(mode)
		return
	}
	flag.Parse()
	// Under nohup a hang-up is ignored, by the programs that are started here, too. One that is caught
	// is theirs to meet again.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

// program is the built binary and the unpacked demo, made when the first test asks.
var program struct {
	once   sync.Once
	dir    string
	assets demo.Paths
	err    error
}

func buildProgram() error {
	dir, err := os.MkdirTemp("", "steer-e2e-")
	if err != nil {
		return err
	}
	program.dir = dir
	build := exec.Command("go", "build", "-ldflags", "-X main.version="+e2eVersion, "-o", filepath.Join(dir, "steer"),
		".")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", build.Args, err, out)
	}
	program.assets, err = demo.Extract(filepath.Join(dir, "assets"))
	return err
}

// e2e builds the program once. The tests that use it are left out with -short.
func e2e(t testing.TB) (steer string, assets demo.Paths) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: the built program is not run")
	}
	program.once.Do(func() { program.err = buildProgram() })
	require.NoError(t, program.err)
	return filepath.Join(program.dir, "steer"), program.assets
}

// process is a running steer.
type process struct {
	t        testing.TB
	cmd      *exec.Cmd
	out, err output
	done     chan struct{} // closed when it has ended
	started  time.Time
}

// output collects what a process writes; it may be read meanwhile.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start starts steer in the folder dir.
func start(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	return startUnder(t, dir, nil, args...)
}

// startUnder is start by way of another program, such as nohup.
func startUnder(t testing.TB, dir string, under []string, args ...string) *process {
	t.Helper()
	steer, _ := e2e(t)
	line := slices.Concat(under, []string{steer}, args)
	p := &process{t: t, cmd: exec.Command(line[0], line[1:]...), done: make(chan struct{}), started: time.Now()}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.out, &p.err
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { // where data are is for a test to say
		return strings.HasPrefix(v, "STEER_MIRROR=") || strings.HasPrefix(v, "HF_")
	})
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the state is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(p.t, err)
	}
}

// wait waits for the end and gives the exit code, or -1 and the signal that ended it.
func (p *process) wait() (code int, by syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(e2ePatience):
		p.signal(syscall.SIGQUIT) // every goroutine's stack goes into the failure
		<-p.done
		require.FailNow(p.t, "no end", "%v\n%s%s", p.cmd.Args, p.out.String(), p.err.String())
	}
	p.civil()
	state := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if state.Signaled() {
		return -1, state.Signal()
	}
	return state.ExitStatus(), 0
}

// civil: whatever happened, nobody was shown the inside of a crash.
func (p *process) civil() {
	p.t.Helper()
	text := p.out.String() + p.err.String()
	for _, word := range []string{"goroutine ", "panic", "runtime error", "internal error", "SIGSEGV", "SIGABRT",
		"terminate called", "what():", "GGML_ASSERT", "ggml_abort", "core dumped", "%!"} {
		require.NotContains(p.t, text, word, "%v", p.cmd.Args)
	}
}

// until waits for a condition or the end of the process; it reports whether the
// condition came true first.
func (p *process) until(condition func() bool) bool {
	p.t.Helper()
	deadline := time.Now().Add(e2ePatience)
	for !condition() {
		if p.ended() {
			return condition()
		}
		require.True(p.t, time.Now().Before(deadline), "waited in vain: %v\n%s", p.cmd.Args, p.err.String())
		time.Sleep(500 * time.Microsecond)
	}
	return true
}

// steerIn runs steer in a folder to its end.
func steerIn(t testing.TB, dir string, args ...string) (code int, out, errs string) {
	t.Helper()
	p := start(t, dir, args...)
	code, by := p.wait()
	require.Zero(t, by, "%v was ended by %v: %s", args, by, p.err.String())
	return code, p.out.String(), p.err.String()
}

// mustSteer runs steer in a folder; it must succeed.
func mustSteer(t testing.TB, dir string, args ...string) (out, errs string) {
	t.Helper()
	code, out, errs := steerIn(t, dir, args...)
	require.Zero(t, code, "%v\n%s", args, errs)
	return out, errs
}

// put writes a file below dir and returns its path.
func put(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o666))
	return path
}

// get reads a file.
func get(t testing.TB, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return raw
}

// tree lists the files below a folder with their content, links with their target.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case d.IsDir():
			files[name+"/"] = ""
		case d.Type()&os.ModeSymlink != 0:
			files[name], err = os.Readlink(path)
		default:
			var raw []byte
			raw, err = os.ReadFile(path)
			files[name] = string(raw)
		}
		return err
	}))
	return files
}
