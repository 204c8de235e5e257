package adapter

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"steer/internal/seed"
)

// New makes an untrained adapter for a base of the given shape: a pair for each
// target ("attn_q", ...; see Shape.Targets and Resolve) in each layer, A uniform in
// ±1/√n_in and B zero, so that it changes nothing until trained.
//
// The distribution of A is PEFT's reset_lora_parameters, kaiming_uniform_(a=√5):
// bound √(6/((1+5)·n_in)). Each tensor has its own random stream, derived from seed
// and the tensor's name: which other targets are adapted does not change it.
func New(shape Shape, targets []string, rank int, alpha float32, rsLoRA bool, seed uint64) (*Adapter, error) {
	if err := shape.Validate(); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("adapter: no targets: want some of %v: %w", targetNames, ErrFormat)
	}
	if least := min(shape.Embd, shape.FF); rank < 1 || rank > least {
		return nil, fmt.Errorf("adapter: rank %d: want 1 to %d, the smallest width of the base: %w", rank, least,
			ErrFormat)
	}
	if alpha <= 0 || !finite(alpha) {
		return nil, fmt.Errorf("adapter: alpha %g: want more than 0: %w", alpha, ErrFormat)
	}
	targets, err := shape.Resolve(targets)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Arch: shape.arch(), Alpha: alpha, RsLoRA: rsLoRA}
	seen := map[string]bool{}
	for _, t := range targets {
		if seen[t] {
			return nil, fmt.Errorf("adapter: target %q is listed twice: %w", t, ErrFormat)
		}
		seen[t] = true
		nIn, nOut, err := shape.Dims(t)
		if err != nil {
			return nil, err
		}
		for layer := range shape.Layers {
			name := weightName(layer, t)
			a.Pairs = append(a.Pairs, Pair{
				Name: name, NIn: nIn, NOut: nOut, Rank: rank,
				A: uniform(nIn*rank, 1/math.Sqrt(float64(nIn)), stream(seed, name+suffixA)),
				B: make([]float32, rank*nOut),
			})
		}
	}
	sortPairs(a.Pairs)
	return a, nil
}

// NewScoreHead makes a reward model's head for a base of width embd: normal weights
// with standard deviation 0.02 and no bias, as transformers initialises the score
// layer of LlamaForSequenceClassification (initializer_range).
func NewScoreHead(embd int, seed uint64) *Head {
	rng := stream(seed, "head.weight")
	w := make([]float32, embd)
	for i := range w {
		w[i] = float32(0.02 * rng.NormFloat64())
	}
	return &Head{Weight: w}
}

// NewValueHead makes a value head for a base of width embd: weights and bias
// uniform in ±1/√n_embd, as TRL 0.7 leaves its v_head (torch.nn.Linear's default).
func NewValueHead(embd int, seed uint64) *Head {
	bound := 1 / math.Sqrt(float64(embd))
	return &Head{
		Weight:  uniform(embd, bound, stream(seed, "head.weight")),
		Bias:    uniform(1, bound, stream(seed, "head.bias"))[0],
		HasBias: true,
	}
}

// stream returns the random numbers of one named tensor. FNV-1a tells names apart,
// the finisher of SplitMix64 spreads near seeds.
func stream(base uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed.Mix(base), seed.Mix(h.Sum64())))
}

func uniform(n int, bound float64, rng *rand.Rand) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return x
}
