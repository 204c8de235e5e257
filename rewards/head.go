package rewards

import (
	"math"

	"steer/internal/seed"
)

// HeadInit is how the scalar head starts; its bias is 0 in all of them.
type HeadInit string

// The rules; d is the width of the model.
const (
	HeadNormal HeadInit = "normal" // N(0, 0.02²): transformers' initializer_range
	HeadScaled HeadInit = "scaled" // N(0, 1/(d+1)): Stiennon et al. 2020
	HeadZero   HeadInit = "zero"
)

// Values lists the rules.
func (HeadInit) Values() []string {
	return []string{string(HeadNormal), string(HeadScaled), string(HeadZero)}
}

// StdDev is the standard deviation of the first weights of a head over width inputs.
func (h HeadInit) StdDev(width int) float64 {
	switch h {
	case HeadNormal:
		return 0.02
	case HeadScaled:
		return 1 / math.Sqrt(float64(width)+1)
	}
	return 0
}

// Weights draws the first weights of a head, [width], from the run's seed.
func (h HeadInit) Weights(width int, runSeed uint64) []float32 {
	w := make([]float32, width)
	sd := h.StdDev(width)
	rng := seed.Rand(runSeed, "reward.head")
	for i := range w {
		w[i] = float32(rng.NormFloat64() * sd)
	}
	return w
}
