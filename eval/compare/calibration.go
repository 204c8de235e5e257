package compare

import "steer/eval/stats"

// A calibration curve has at most so many bins, and fewer where they would hold fewer
// items than this.
const (
	calibrationBins = 10
	calibrationSize = 25
)

// Calibrate compares the probability that a model gave its choice, among the choices of
// the item, with how often that choice was right. ok is false for records without
// log-probabilities of choices.
func Calibrate(items []Item) (c stats.Calibration, ok bool) {
	var confidence []float64
	var right []bool
	for _, x := range items {
		if x.Refused || *x.Pred >= len(x.LogProbs) || len(x.LogProbs) < 2 {
			continue
		}
		confidence = append(confidence, stats.Softmax(x.LogProbs)[*x.Pred])
		right = append(right, x.right())
	}
	c, err := stats.Calibrate(confidence, right, max(2, min(calibrationBins, len(right)/calibrationSize)))
	return c, err == nil && len(confidence) == len(items)
}
