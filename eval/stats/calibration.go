package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Calibration compares how sure a classifier was with how often it was right.
type Calibration struct {
	N    int              `json:"n"`
	Bins []CalibrationBin `json:"bins"`
	// ECE is the expected calibration error: the mean over items of the distance between
	// confidence and accuracy of their bin.
	ECE float64 `json:"ece"`
	// Brier is the mean of (confidence - right)².
	Brier float64 `json:"brier"`
}

// CalibrationBin holds neighbouring confidences.
type CalibrationBin struct {
	N          int     `json:"n"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
	Lo         float64 `json:"lo"` // Wilson 95 % interval of the accuracy
	Hi         float64 `json:"hi"`
}

// Calibrate sorts items by confidence, in [0, 1], into bins of equal numbers of items;
// items of equal confidence stay in one bin.
func Calibrate(confidence []float64, right []bool, bins int) (Calibration, error) {
	if len(confidence) != len(right) {
		return Calibration{}, fmt.Errorf("stats: calibration: %d confidences but %d outcomes", len(confidence), len(right))
	}
	if len(right) == 0 || bins < 1 {
		return Calibration{}, fmt.Errorf("stats: calibration of %d items in %d bins: at least one of each is needed", len(right), bins)
	}
	order := make([]int, len(right))
	for i, p := range confidence {
		if !(p >= 0 && p <= 1) {
			return Calibration{}, fmt.Errorf("stats: calibration: item %d: want a confidence in [0, 1], got %g", i, p)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(confidence[a], confidence[b]) })
	out := Calibration{N: len(right)}
	for from := 0; from < len(order); {
		to := from + max(1, (len(order)-from)/(bins-min(len(out.Bins), bins-1)))
		for to < len(order) && confidence[order[to]] == confidence[order[to-1]] {
			to++
		}
		bin, hits := CalibrationBin{N: to - from}, 0
		for _, i := range order[from:to] {
			hit := 0.0
			if right[i] {
				hit = 1
				hits++
			}
			bin.Confidence += confidence[i] / float64(bin.N)
			out.Brier += (confidence[i] - hit) * (confidence[i] - hit) / float64(out.N)
		}
		bin.Accuracy = float64(hits) / float64(bin.N)
		bin.Lo, bin.Hi = Wilson(hits, bin.N, 0.95)
		out.ECE += math.Abs(bin.Accuracy-bin.Confidence) * float64(bin.N) / float64(out.N)
		out.Bins = append(out.Bins, bin)
		from = to
	}
	return out, nil
}

// Softmax turns log-probabilities (or any logits) into shares that sum to 1.
func Softmax(logits []float64) []float64 {
	out := make([]float64, len(logits))
	if len(out) == 0 {
		return out
	}
	top, sum := slices.Max(logits), 0.0
	for i, v := range logits {
		out[i] = math.Exp(v - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}
