package compare

import (
	"math"
	"slices"

	"steer/internal/stats"
	"steer/rl/run"
)

// A calibration curve has at most so many bins between 0 and 1, and fewer where they
// would hold fewer items than this.
const (
	calibrationBins = 20
	calibrationSize = 15
)

// Calibrate compares the probability that a model gave its choice, among the choices of
// the item, with how often that choice was right; ece is the expected calibration error.
// ok is false for records without log-probabilities of choices.
func Calibrate(items []run.Prediction) (bins []stats.Bin, ece float64, ok bool) {
	var confidence, right []float64
	for _, x := range items {
		if x.Refused || x.Tie || *x.Pred >= len(x.LogProbs) || len(x.LogProbs) < 2 {
			return nil, 0, false
		}
		hit := 0.0
		if answeredRight(x) {
			hit = 1
		}
		confidence, right = append(confidence, softmax(x.LogProbs, *x.Pred)), append(right, hit)
	}
	bins, ece, err := stats.Reliability(confidence, right, 0, 1,
		max(4, min(calibrationBins, len(right)/calibrationSize)))
	return bins, ece, err == nil && len(items) > 0
}

// softmax is the share of choice k among exp(logits).
func softmax(logits []float64, k int) float64 {
	top, sum := slices.Max(logits), 0.0
	for _, v := range logits {
		sum += math.Exp(v - top)
	}
	return math.Exp(logits[k]-top) / sum
}
