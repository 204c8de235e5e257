package rollout

import (
	"context"

	"steer/rl/mixture"
)

// Algorithm learns from scored episodes.
type Algorithm interface {
	// Prepare computes what the updates of a batch need, with the weights that sampled it.
	Prepare(ctx context.Context, b *Batch) (Prepared, error)
	// Optimize makes the updates of the batch that was prepared last.
	Optimize(ctx context.Context) (Report, error)
	// State is a pointer to what a checkpoint keeps of it.
	State() any
}

// Batch is what an iteration learns from.
type Batch struct {
	// Iteration counts the finished ones.
	Iteration int64
	Episodes  []Episode
	// Scores are what is to be raised: rewards combined, less the penalty of an answer without an end. NaN: no
	// reward judges the episode.
	Scores []float64
	// Rewards are all rewards, [reward][episode], less that penalty each; Weights are theirs in the sum, multipliers
	// of constraints included.
	Rewards [][]float64
	Weights []float64
}

// Prepared says how far the policy is from the reference, before the updates.
type Prepared struct {
	KL     []float64 // of each response, k1, nats
	KLCoef float64   // its weight in what is raised
}

// MeanKL is the mean of a response.
func (p *Prepared) MeanKL() float64 { return mean(p.KL) }

// Report says what the updates did.
type Report struct {
	// Stats are logged; see the documents of the algorithm for names.
	Stats map[string]float64
	// Loss is the mean loss, Entropy the mean entropy of a token.
	Loss, Entropy float64
	Epochs        int   // passes over the batch
	Updates       int64 // of the optimizer, over the whole run
	KLCoef        float64
}

// Settings is what a run of an algorithm is told besides the algorithm's own.
type Settings struct {
	// Name is the algorithm's ("ppo"); random streams, metrics and messages are named by it.
	Name       string
	Seed       uint64
	Iterations int64
	// Batch is the number of episodes of an iteration; Group of them in a row answer one prompt.
	Batch, Group int
	// UpdatesPerIteration counts steps of the optimizer, as if none were left out.
	UpdatesPerIteration int64
	// MicroBatch is the number of sequences of a forward pass.
	MicroBatch int
	Resample   Resample
	// Penalty is taken from an episode's score besides that of a missing end; nil takes nothing.
	Penalty func(*Episode) float64

	*Sampling
	*Guards
	*Record
	// Rewards join those of the scorer.
	Rewards mixture.Config
	Weights []float64 // of the scorer's rewards; nil for 1 each
}

// Resample is DAPO's dynamic sampling (Yu et al. 2025, arXiv:2503.14476, section 3.2): groups whose answers all
// have one score teach nothing, and are replaced by those of other prompts.
type Resample struct {
	// Rounds is how often the batch may be sampled again to fill it up; 0 keeps every group.
	Rounds int
}
