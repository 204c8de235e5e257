package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/peterh/liner"

	"steer/rl/data"
)

// errInterrupted: Ctrl-C where a line was to be typed.
var errInterrupted = errors.New("interrupted")

// lineReader gives the lines that a user says, without their ends; io.EOF after the last.
type lineReader interface {
	read(ctx context.Context) (string, error)
	close() error
}

// newLineReader reads from a terminal with an editor, from anything else line by line.
func (a *app) newLineReader() lineReader {
	if a.in == os.Stdin && a.out == os.Stdout && isTerminal(a.in) && isTerminal(a.out) {
		l := liner.NewLiner()
		l.SetCtrlCAborts(true)
		l.SetMultiLineMode(true)
		l.SetCompleter(completeCommand)
		return &editedLines{l}
	}
	lines := bufio.NewScanner(a.in)
	lines.Buffer(make([]byte, 1<<16), data.MaxRecordBytes)
	return &plainLines{lines}
}

// completeCommand lists the commands that begin with what was typed.
func completeCommand(typed string) (out []string) {
	if !strings.HasPrefix(typed, "/") {
		return nil
	}
	for _, c := range chatCommands() {
		if strings.HasPrefix(c.name, typed) {
			out = append(out, c.name)
		}
	}
	return out
}

// await runs a read that cannot be called off aside, so that the end of ctx is heard.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		line string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := read()
		got <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-got:
		return r.line, r.err
	}
}

// plainLines reads from a pipe or a file.
type plainLines struct{ lines *bufio.Scanner }

func (p *plainLines) read(ctx context.Context) (string, error) {
	return await(ctx, func() (string, error) {
		switch more, err := p.lines.Scan(), p.lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return "", fmt.Errorf("chat: standard input: a line is longer than %d bytes", data.MaxRecordBytes)
		case err != nil:
			return "", fmt.Errorf("chat: standard input: %w", err)
		case !more:
			return "", io.EOF
		}
		return p.lines.Text(), nil
	})
}

func (*plainLines) close() error { return nil }

// editedLines reads what somebody types, with history and editing.
type editedLines struct{ *liner.State }

func (e *editedLines) read(ctx context.Context) (string, error) {
	line, err := await(ctx, func() (string, error) { return e.Prompt("> ") })
	if errors.Is(err, liner.ErrPromptAborted) {
		return "", errInterrupted
	}
	if err == nil && strings.TrimSpace(line) != "" {
		e.AppendHistory(line)
	}
	return line, err
}

func (e *editedLines) close() error { return e.Close() }
