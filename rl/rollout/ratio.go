package rollout

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrRatio: on the first mini-batch of an iteration, before anything was learned, the
// ratio of new to old probability was not 1. Every [*RatioError] wraps it.
var ErrRatio = errors.New("ratio of the first mini-batch is not 1")

// BadToken is a response token whose probability changed without an update.
type BadToken struct {
	Episode  int // within the rollout batch
	Token    int // within the response
	ID       int32
	Old, New float64 // log-probabilities
}

// RatioError lists the tokens that failed the check, the first few of them.
type RatioError struct {
	Iteration int64
	Tolerance float64
	Outliers  float64 // share of the tokens that may be out of it
	Tokens    int     // looked at
	Bad       int     // out of tolerance
	First     []BadToken
	Worst     BadToken
}

// maxBadTokens bounds how many tokens a RatioError lists.
const maxBadTokens = 8

// Error implements error.
func (e *RatioError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "iteration %d: %v: %d of %d response tokens are off by more than %g",
		e.Iteration, ErrRatio, e.Bad, e.Tokens, e.Tolerance)
	if e.Outliers > 0 {
		fmt.Fprintf(&b, " (%g %% may be)", 100*e.Outliers)
	}
	b.WriteString(", the worst is ")
	b.WriteString(e.Worst.String())
	b.WriteString("; first ones:")
	for _, t := range e.First {
		b.WriteString("\n  ")
		b.WriteString(t.String())
	}
	b.WriteString("\nthe same weights gave two answers for the same tokens: dropout that is on, a result that " +
		"depends on " +
		"the rest of the batch, or a forward pass that differs when a gradient is asked for; ratio_tolerance: 0 " +
		"switches the check off")
	return b.String()
}

// Failed tells whether more tokens are off than may be.
func (e *RatioError) Failed() bool {
	return e.Tolerance > 0 && float64(e.Bad) > e.Outliers*float64(e.Tokens)
}

// Unwrap makes errors.Is(err, ErrRatio) true.
func (e *RatioError) Unwrap() error { return ErrRatio }

// String is one line of a RatioError.
func (t BadToken) String() string {
	return fmt.Sprintf("episode %d, response token %d (id %d): log-probability %.6f before, %.6f now, ratio %.6f",
		t.Episode, t.Token, t.ID, t.Old, t.New, math.Exp(t.New-t.Old))
}

// Add counts one token and keeps it if it is out of tolerance.
func (e *RatioError) Add(t BadToken) {
	e.Tokens++
	off := math.Abs(math.Exp(t.New-t.Old) - 1)
	if off <= e.Tolerance {
		return
	}
	if e.Bad == 0 || off > math.Abs(math.Exp(e.Worst.New-e.Worst.Old)-1) {
		e.Worst = t
	}
	e.Bad++
	if len(e.First) < maxBadTokens {
		e.First = append(e.First, t)
	}
}
