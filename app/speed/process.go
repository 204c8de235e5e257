package speed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"steer/internal/printable"
)

// MeasureIn measures a job in a process of its own: the command, told on standard input what to
// measure in JSON, answers in JSON with a [Result]. An error it prints begins with prefix.
func MeasureIn(ctx context.Context, command []string, prefix string, s Spec) (*Result, error) {
	in, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		text := strings.TrimPrefix(strings.TrimSpace(errs.String()), prefix)
		return nil, fmt.Errorf("%s: the measuring process ended with %w: %s", s.Label(), err, text)
	}
	r := &Result{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("%s: the measuring process answered %q: %w", s.Label(),
			printable.Text(out.String(), 80), err)
	}
	return r, nil
}
