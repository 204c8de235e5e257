package workspace

import (
	"context"
	"errors"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
)

// Engine is what stages compute with: it lays adapters over the model, evaluates and trains
// stacks of them, and samples from them. One computes on the device. The one that
// package plan rehearses stages with answers at once and keeps what was asked. Nothing asks
// which of them it has.
//
// What an engine opens stays open until its workspace is closed: the second result of Adapter
// and Step closes it.
type Engine interface {
	// Adapter puts an adapter on the model.
	Adapter(host *adapter.Adapter, trainable bool) (*ggml.Adapter, func() error, error)
	// Step opens a stack. With opt.Train its last adapter learns.
	Step(opt ggml.StepOptions) (lm.Learner, func() error, error)
	// KL is the exact divergence, in nats, of the first stack from the second at each target;
	// both were opened with Step.
	KL(policy, reference lm.Evaluator) lm.KLFunc
	// Generator decodes on a stack, at most so many sequences at once.
	Generator(stack []*ggml.Adapter, sequences int) lm.Generator
}

// deviceEngine computes on the model's device.
type deviceEngine struct{ model *ggml.Model }

func openEngine(m *ggml.Model) Engine { return deviceEngine{m} }

// Adapter implements Engine.
func (e deviceEngine) Adapter(host *adapter.Adapter, trainable bool) (*ggml.Adapter, func() error, error) {
	a, err := e.model.NewAdapter(host, trainable)
	if err != nil {
		return nil, nil, err
	}
	return a, a.Close, nil
}

// Step implements Engine.
func (e deviceEngine) Step(opt ggml.StepOptions) (lm.Learner, func() error, error) {
	if e.model.Untrainable() != nil && !opt.Train && len(opt.Adapters) == 0 {
		return decoder{e.model.NewDecoder()}, func() error { return nil }, nil
	}
	s, err := e.model.NewStep(opt)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

// KL implements Engine.
func (e deviceEngine) KL(policy, reference lm.Evaluator) lm.KLFunc {
	return func(ctx context.Context, batch []lm.Sequence, opt lm.Options) ([][]float32, error) {
		return policy.(*ggml.Step).FullKL(ctx, reference.(*ggml.Step), batch, opt)
	}
}

// Generator implements Engine. Its context is opened for each call of Generate and closed after
// it, sized for that call: many policies can stand ready while the key-value cache of one exists.
func (e deviceEngine) Generator(stack []*ggml.Adapter, sequences int) lm.Generator {
	return &generator{model: e.model, stack: stack, sequences: sequences}
}

type generator struct {
	model     *ggml.Model
	stack     []*ggml.Adapter
	sequences int
}

// Generate implements lm.Generator.
func (g *generator) Generate(
	ctx context.Context, reqs []lm.Request, s lm.Sampling,
) (out []lm.Generation, err error) {
	session, err := g.model.NewSession(SessionOptions(g.stack, g.sequences, reqs))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	return session.Generate(ctx, reqs, s)
}

// SessionOptions is the smallest session in which requests are answered as fast as with so many
// sequences at once.
func SessionOptions(stack []*ggml.Adapter, sequences int, reqs []lm.Request) ggml.SessionOptions {
	room := 1
	for _, r := range reqs {
		room = max(room, len(r.Prompt)+r.MaxNew)
	}
	return ggml.SessionOptions{Adapters: stack, Sequences: min(sequences, max(1, len(reqs))), Context: room}
}
