package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// terminal is a program that believes somebody sits before it.
type terminal struct {
	t    testing.TB
	tty  *os.File
	said output
	done chan error
}

// onTerminal starts steer on a terminal of its own.
func onTerminal(t testing.TB, args ...string) *terminal {
	t.Helper()
	steer, _ := e2e(t)
	cmd := exec.Command(steer, args...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	require.NoError(t, err)
	x := &terminal{t: t, tty: tty, done: make(chan error, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := tty.Read(buffer)
			_, _ = x.said.Write(buffer[:n])
			if err != nil { // the other end is closed
				return
			}
		}
	}()
	go func() { x.done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = tty.Close()
		<-read
	})
	return x
}

// typeIn types keys and waits until what is on the terminal from there on holds text.
func (x *terminal) typeIn(keys, text string) string {
	x.t.Helper()
	from := len(x.said.String())
	_, err := x.tty.WriteString(keys)
	require.NoError(x.t, err)
	return x.wait(from, text)
}

func (x *terminal) wait(from int, text string) string {
	x.t.Helper()
	deadline := time.Now().Add(e2ePatience)
	for !strings.Contains(x.said.String()[from:], text) {
		if time.Now().After(deadline) {
			require.Fail(x.t, "not said", "%q of %q", text, x.said.String()[from:])
		}
		time.Sleep(5 * time.Millisecond)
	}
	return x.said.String()[from:]
}

// A conversation on a terminal: lines are edited and come back, answers stop at Ctrl-C, a
// second Ctrl-C leaves.
func TestChatOnATerminal(t *testing.T) {
	_, m := e2e(t)
	x := onTerminal(t, "chat", "-m", m.Model, "--template", "guanaco", "--max-new", "24", "--temperature", "0")
	x.wait(0, "> ")
	require.Contains(t, x.said.String(), "Ctrl-C stops an answer")
	const left, up = "\x1b[D", "\x1b[A"
	said := x.typeIn("/helq"+left+"\x1b[3~p\r", "leave") // the q is deleted, a p typed in its place
	require.Contains(t, said, "/undo")
	x.typeIn("/wh\r", "unknown command /wh:")
	first := x.typeIn("Is it right to lie?\r", "\n> ")
	require.Contains(t, first, "Is it right to lie?")
	second := x.typeIn(up+"\r", "\n> ")
	require.Contains(t, second, "Is it right to lie?", "the line comes back")
	x.typeIn("\x03", "once more leaves")
	_, err := x.tty.WriteString("\x03")
	require.NoError(t, err)
	require.NoError(t, <-x.done)
}

func TestChatAnswerIsStoppedOnATerminal(t *testing.T) {
	_, m := e2e(t)
	x := onTerminal(t, "chat", "-m", m.Model, "--template", "plain", "--max-new", "400", "--temperature", "1")
	x.wait(0, "> ")
	for range e2eAttempts { // the model may have ended before
		from := len(x.said.String())
		x.typeIn("/reset\r", "anew")
		x.typeIn("I promised my boss to bring the bike\r", "\n")
		_, err := x.tty.WriteString("\x03")
		require.NoError(t, err)
		x.wait(len(x.said.String()), "") // whatever comes
		said := x.typeIn("/stack\r", "template  plain")
		if strings.Contains(x.said.String()[from:], "(stopped") {
			require.NotContains(t, said, "unknown")
			_, err = x.tty.WriteString("\x04")
			require.NoError(t, err)
			require.NoError(t, <-x.done)
			return
		}
	}
	require.Fail(t, "no answer was long enough to be stopped")
}

func TestGenerateStreamsOnATerminal(t *testing.T) {
	_, m := e2e(t)
	args := []string{"generate", "-m", m.Model, "--prompt", "I promised my boss", "--max-new", "16", "--temperature",
		"0"}
	x := onTerminal(t, args...)
	require.NoError(t, <-x.done)
	want := strings.ReplaceAll(succeed(t, "", args...), "\n", "\r\n")
	x.wait(0, want)
}
