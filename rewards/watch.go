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
	// watchWindow is the number of steps over which a stuck loss is judged.
	watchWindow = 50
	// identicalSteps is how many updates in a row may see no difference at all. (The
	// first may: a head that starts at 0 gives 0 to everything.)
	identicalSteps = 3
	// stuckBy is by how much a loss has to be below ln 2 to count as learning.
	stuckBy = 0.01
)

// watch looks for the two ways a reward model fails without an error: scores that
// do not depend on the text, and a loss that stays at chance. It is part of a checkpoint.
type watch struct {
	Identical int       `json:"identical"` // updates in a row
	Losses    []float64 `json:"losses"`    // last steps: mean of -log sigmoid(difference)
	Correct   []int     `json:"correct"`
	Pairs     []int     `json:"pairs"`
	Warned    bool      `json:"warned"`
}

// step records a mini-batch; moved says that the update had a learning rate above 0.
func (w *watch) step(b batchStats, moved bool) error {
	if b.Ties < b.Pairs {
		w.Identical = 0
	} else if moved {
		w.Identical++
	}
	w.Losses = window(append(w.Losses, b.Logistic/float64(b.Pairs)))
	w.Correct, w.Pairs = window(append(w.Correct, b.Correct)), window(append(w.Pairs, b.Pairs))
	if w.Identical < identicalSteps {
		return nil
	}
	return fmt.Errorf("%w in %d updates in a row: the scores do not depend on the text. Causes seen: the score is "+
		"read at a token "+
		"that both sides share (an end token taken for padding), both sides were cut to the same tokens "+
		"(max_length), or adapter and head get no gradient", ErrIdentical, identicalSteps)
}

// stuck says, once, that the loss has stayed at chance over the last window of steps.
func (w *watch) stuck() (string, bool) {
	if w.Warned || len(w.Losses) < watchWindow {
		return "", false
	}
	loss, correct, pairs := 0.0, 0, 0
	for i := range w.Losses {
		loss += w.Losses[i] / float64(len(w.Losses))
		correct += w.Correct[i]
		pairs += w.Pairs[i]
	}
	lo, hi := stats.Wilson(correct, pairs, confidence)
	if loss < math.Ln2-stuckBy || lo > 0.5 {
		return "", false
	}
	w.Warned = true
	return fmt.Sprintf("the loss has stayed at chance over the last %d steps (mean %.4f, ln 2 is 0.6931; accuracy "+
		"%.3f, 95 %% interval %.3f to %.3f): "+
		"try a larger optim.lr or more epochs, and check that chosen and rejected are the right way round",
		len(w.Losses), loss, float64(correct)/float64(pairs), lo, hi), true
}

func window[T any](x []T) []T {
	if len(x) > watchWindow {
		return x[len(x)-watchWindow:]
	}
	return x
}
