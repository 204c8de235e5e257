package train

import (
	"errors"
	"fmt"
	"math"
)

// ErrDiverged marks a loss or gradient that is not a finite number. Nothing of that
// step is kept; the checkpoint before it is intact.
var ErrDiverged = errors.New("training diverged")

// CheckFinite refuses NaN and infinity in a named quantity of the update with number
// step (counted from 1). Call it on the loss before Backward and on the gradient norm
// after Update.
func CheckFinite(step int64, name string, value float64) error {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		return nil
	}
	return fmt.Errorf("step %d: %s is %v: %w: try a smaller lr, more warmup_steps, a max_grad_norm; "+
		"if it happens on step 1, look for NaN in the weights or an example without any counted token",
		step, name, value, ErrDiverged)
}
