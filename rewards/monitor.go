package rewards

import (
	"errors"
	"fmt"
	"math"

	"steer/internal/stats"
)

// ErrIdentical: update after update, both sides of every pair had the same score.
var ErrIdentical = errors.New("chosen and rejected always score the same")

const (
	// monitorWindow is the number of steps over which a stuck loss is judged.
	monitorWindow = 50
	// identicalSteps is how many updates in a row may see no difference at all. (The
	// first may: a head that starts at 0 gives 0 to everything.)
	identicalSteps = 3
	// stuckBy is by how much a loss has to be below ln 2 to count as learning.
	stuckBy = 0.01
)

// monitor looks for the two ways a reward model fails without an error: scores that
// do not depend on the text, and a loss that stays at chance. It is part of a checkpoint.
type monitor struct {
	Identical int       `json:"identical"` // updates in a row
	Losses    []float64 `json:"losses"`    // last steps: mean of -log sigmoid(difference)
	Correct   []int     `json:"correct"`
	Pairs     []int     `json:"pairs"`
	Warned    bool      `json:"warned"`
}

// step records a mini-batch; moved says that the update had a learning rate above 0.
func (m *monitor) step(b batchStats, moved bool) error {
	if b.Ties < b.Pairs {
		m.Identical = 0
	} else if moved {
		m.Identical++
	}
	m.Losses = window(append(m.Losses, b.Logistic/float64(b.Pairs)))
	m.Correct, m.Pairs = window(append(m.Correct, b.Correct)), window(append(m.Pairs, b.Pairs))
	if m.Identical < identicalSteps {
		return nil
	}
	return fmt.Errorf("%w in %d updates in a row: the scores do not depend on the text. Causes seen: the score is "+
		"read at a token "+
		"that both sides share (an end token taken for padding), both sides were cut to the same tokens "+
		"(max_length), or adapter and head get no gradient", ErrIdentical, identicalSteps)
}

// stuck says, once, that the loss has stayed at chance over the last window of steps.
func (m *monitor) stuck() (string, bool) {
	if m.Warned || len(m.Losses) < monitorWindow {
		return "", false
	}
	loss, correct, pairs := 0.0, 0, 0
	for i := range m.Losses {
		loss += m.Losses[i] / float64(len(m.Losses))
		correct += m.Correct[i]
		pairs += m.Pairs[i]
	}
	lo, hi := stats.Wilson(correct, pairs, confidence)
	if loss < math.Ln2-stuckBy || lo > 0.5 {
		return "", false
	}
	m.Warned = true
	return fmt.Sprintf("the loss has stayed at chance over the last %d steps (mean %.4f, ln 2 is 0.6931; accuracy "+
		"%.3f, 95 %% interval %.3f to %.3f): "+
		"try a larger optim.lr or more epochs, and check that chosen and rejected are the right way round",
		len(m.Losses), loss, float64(correct)/float64(pairs), lo, hi), true
}

func window[T any](x []T) []T {
	if len(x) > monitorWindow {
		return x[len(x)-monitorWindow:]
	}
	return x
}
