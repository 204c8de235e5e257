package function

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"steer/internal/printable"
	"steer/rl/data"
)

// Sample is an answer that is to be scored.
type Sample struct {
	// ID names the row of the data that the prompt is from: its id, or "line 12". Samples of one row
	// have the same.
	ID string
	// Prompt is the text that the model read.
	Prompt string
	// Messages is the conversation that the prompt renders; nil where it was none.
	Messages []data.Message
	// Answer is what the model said, without special tokens.
	Answer string
	// Tokens are those of the answer, special ones included; nil where they are not known.
	Tokens []int32
	// Fields are the other columns of the row.
	Fields map[string]any
}

// Function scores answers. It belongs to one goroutine.
type Function interface {
	// Names are those of the columns that it gives: one, or one for each of its named scores.
	Names() []string
	// Score gives a column for each of Names with a number for each sample, NaN where the function does
	// not score it. An error but that of ctx is an *[Error].
	Score(ctx context.Context, samples []Sample) ([][]float64, error)
	// Close ends what the function has running.
	Close() error
}

// Checker is a function that can tell from a row, before there are answers, that it cannot score them.
type Checker interface {
	// Check looks at a sample without an answer.
	Check(row Sample) error
}

// ErrReward: a reward function did not do what it is there for. Every *[Error] wraps it.
var ErrReward = errors.New("the reward function failed")

// Error is what went wrong with a function, and where.
type Error struct {
	Reward string  // name of the reward
	Sample *Sample // nil: it is about none in particular
	What   string  // happened: "python3 grade.py ended with exit status 1"
	Want   string  // what was expected; "" where What says it
	Mend   string  // what the user can do
	Stderr []string
	Log    string // file with all of standard error; "": none
	Err    error  // cause; may be nil
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "reward %s", e.Reward)
	if e.Sample != nil {
		fmt.Fprintf(&b, ": %s", e.Sample)
	}
	fmt.Fprintf(&b, ": %s", e.What)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Want != "" {
		fmt.Fprintf(&b, ": want %s", e.Want)
	}
	if e.Mend != "" {
		fmt.Fprintf(&b, "; %s", e.Mend)
	}
	if len(e.Stderr) > 0 {
		b.WriteString("\nit wrote to standard error, at the end:")
		for _, line := range e.Stderr {
			b.WriteString("\n  " + printable.Text(line, 200))
		}
	}
	if e.Log != "" {
		fmt.Fprintf(&b, "\nits standard error as a whole: %s", e.Log)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrReward) true.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrReward}
	}
	return []error{ErrReward, e.Err}
}

// shown is how many characters of a prompt and an answer errors show: of a prompt its end, where the
// question stands, of an answer its beginning.
const shown = 60

// String names a sample: its row, and what prompt and answer are.
func (s *Sample) String() string {
	name := s.ID
	if name == "" {
		name = "a sample"
	}
	prompt := s.Prompt
	if n := len(s.Messages); n > 0 {
		prompt = s.Messages[n-1].Content
	}
	return fmt.Sprintf(`%s (prompt "%s", answer "%s")`, name, printable.Text(prompt, shown),
		printable.Text(s.Answer, shown))
}

// rule is a function that looks at one sample after another.
type rule struct {
	name  string
	score func(s *Sample) (float64, error)
	check func(s *Sample) error // may be nil
}

// Names implements Function.
func (r *rule) Names() []string { return []string{r.name} }

// Score implements Function.
func (r *rule) Score(ctx context.Context, samples []Sample) ([][]float64, error) {
	out := make([]float64, len(samples))
	for i := range samples {
		var err error
		if out[i], err = r.score(&samples[i]); err != nil {
			return nil, err
		}
	}
	return [][]float64{out}, ctx.Err()
}

// Check implements Checker.
func (r *rule) Check(row Sample) error {
	if r.check == nil {
		return nil
	}
	return r.check(&row)
}

// Close implements Function.
func (r *rule) Close() error { return nil }

// columnsOf names the columns of a function: its own name, or that with each of its named scores.
func columnsOf(name string, scores []string) []string {
	if len(scores) == 0 {
		return []string{name}
	}
	out := make([]string, len(scores))
	for i, s := range scores {
		out[i] = name + "." + s
	}
	return out
}

// table is len(names) columns of n rows, all of them not scored yet.
func table(names, n int) [][]float64 {
	out := make([][]float64, names)
	for i := range out {
		out[i] = make([]float64, n)
		for j := range out[i] {
			out[i][j] = math.NaN()
		}
	}
	return out
}
