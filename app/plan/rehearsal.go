package plan

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"slices"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/machine"
	"steer/rl/train"
)

// rehearsal stands for the engine while a stage runs without computing: the stage reads
// its data, makes its batches and takes its steps as it always does, every question is
// answered at once with numbers of no meaning, and what was asked is kept. That is what
// a plan is made of: no line of a stage is written twice.
//
// Responses have the greatest length that was asked for, so a real run can only be smaller.
type rehearsal struct {
	model  *ggml.Model
	stops  func() []int32 // ids that end an answer: responses are to have none of them
	onGPU  bool
	steps  []*rehearsedStep // in the order of their opening
	opened []*ggml.Adapter
	most   []decoding // the sessions opened, none smaller than another in everything
	tokens Tokens
	goMost int64 // bytes that the Go runtime needs at most
}

// Tokens counts what goes through the model.
type Tokens struct {
	Train     int64 `json:"train"`     // forward and backward
	Score     int64 `json:"score"`     // forward only
	Prompt    int64 `json:"prompt"`    // read by rollouts
	Generated int64 `json:"generated"` // at most
	Updates   int64 `json:"updates"`   // optimizer steps
}

// decoding is a session and what was decoded in it.
type decoding struct {
	opt     ggml.SessionOptions
	tokens  int // of the largest prefill
	outputs int // next tokens drawn at once
}

// rehearse runs a job in a workspace that computes nothing.
func rehearse(ctx context.Context, w *workspace.Workspace, job jobs.Job) (*rehearsal, *workspace.Workspace, error) {
	_, engine := job.Base()
	r := &rehearsal{model: w.Model}
	p := w.With(engine, r)
	r.stops, r.onGPU = p.Stops, p.OnGPU()
	con := jobs.Console{Progress: train.Quiet{}, Stopper: train.NewStopper(), Out: io.Discard}
	defer machine.HoldGo(math.MaxInt64)() // look tightens it
	if err := job.Run(ctx, p, con, job.Folder(), "", false); err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	r.goMost = max(r.goMost, machine.GoBytes()) // what it could not be held to, it needs
	return r, p, nil
}

// Adapter implements Engine: a planned adapter has no memory.
func (r *rehearsal) Adapter(host *adapter.Adapter, trainable bool) (*ggml.Adapter, func() error, error) {
	a, err := r.model.PlanAdapter(host, trainable)
	if err != nil {
		return nil, nil, err
	}
	return a, a.Close, nil
}

// Step implements Engine: a stack of planned adapters, with either choice of checkpointing.
func (r *rehearsal) Step(opt ggml.StepOptions) (_ lm.Learner, closer func() error, err error) {
	s := &rehearsedStep{r: r, number: len(r.steps), adapters: opt.Adapters, opt: opt}
	closer = func() error {
		var errs []error
		for _, open := range []*ggml.Step{s.other, s.stack} {
			if open != nil {
				errs = append(errs, open.Close())
			}
		}
		return errors.Join(errs...)
	}
	for _, open := range []**ggml.Step{&s.stack, &s.other} {
		if *open, err = r.model.NewStep(opt); err != nil {
			return nil, nil, errors.Join(err, closer())
		}
		opt.KeepActivations = !opt.KeepActivations
	}
	if opt.Train {
		s.host = opt.Adapters[len(opt.Adapters)-1].Describe()
	}
	for _, a := range opt.Adapters {
		if !slices.Contains(r.opened, a) {
			r.opened = append(r.opened, a)
		}
	}
	r.steps = append(r.steps, s)
	return s, closer, nil
}

// rehearsedStep answers like a ggml.Step of the same stack.
type rehearsedStep struct {
	r        *rehearsal
	number   int
	stack    *ggml.Step
	other    *ggml.Step // the same with the other choice of checkpointing
	adapters []*ggml.Adapter
	opt      ggml.StepOptions
	host     *adapter.Adapter // of what is trained; nil: nothing
	passes   []recorded       // the largest
	long     map[kind]recorded
	looked   bool // at what Go needs, when this stack was first used
}

// kind is what passes must have in common to be compared by size.
type kind struct {
	gradient, dropout, targets, heads, entropy, entropyGradient bool
	// 1 + number of the step that KL is taken to; 0: none
	reference int
}

// recorded is a pass that was asked for.
type recorded struct {
	kind
	batch                    []lm.Sequence
	opt                      lm.Options
	tokens, nTargets, nHeads int // tokens as they are laid out
	longest                  int
}

func record(batch []lm.Sequence, opt lm.Options) recorded {
	p := recorded{batch: batch, opt: opt}
	p.tokens = ggml.LaidOut(batch, opt)
	for _, q := range batch {
		p.nTargets += len(q.Targets)
		p.nHeads += len(q.Heads)
		p.longest = max(p.longest, len(q.Tokens))
	}
	p.kind = kind{gradient: opt.Gradient, dropout: opt.Dropout, targets: p.nTargets > 0, heads: p.nHeads > 0,
		entropy: opt.Entropy, entropyGradient: opt.EntropyGradient}
	return p
}

// covers: what p needs is enough for q.
func (p recorded) covers(q recorded) bool {
	return p.kind == q.kind && p.tokens >= q.tokens && p.nTargets >= q.nTargets && p.nHeads >= q.nHeads
}

// keep remembers a pass unless a larger one is known.
func (s *rehearsedStep) keep(p recorded) {
	if s.long == nil {
		s.long = map[kind]recorded{}
	}
	if p.longest > s.long[p.kind].longest {
		s.long[p.kind] = p
	}
	if slices.ContainsFunc(s.passes, func(q recorded) bool { return q.covers(p) }) {
		return
	}
	s.passes = append(slices.DeleteFunc(s.passes, func(q recorded) bool { return p.covers(q) }), p)
}

// Forward implements lm.Evaluator.
func (s *rehearsedStep) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := record(batch, opt)
	if s.keep(p); !s.looked {
		s.looked = true
		s.r.look()
	} else {
		s.r.follow()
	}
	if opt.Gradient {
		s.r.tokens.Train += int64(p.tokens)
	} else {
		s.r.tokens.Score += int64(p.tokens)
	}
	return answer(batch, opt), nil
}

// answer invents an output: a function of the tokens alone, as a model's is.
func answer(batch []lm.Sequence, opt lm.Options) *lm.Output {
	out := &lm.Output{Logprobs: make([][]float32, len(batch)), Heads: make([][]float32, len(batch))}
	if opt.Entropy {
		out.Entropy = make([][]float32, len(batch))
	}
	if opt.Greedy {
		out.Greedy = make([][]bool, len(batch))
	}
	for i, q := range batch {
		noise := float32(len(q.Tokens) % 7)
		for j, id := range q.Tokens {
			noise += float32((int(id)*31+j)%101) / 101
		}
		noise -= float32(int(noise))
		out.Logprobs[i], out.Heads[i] = make([]float32, len(q.Targets)), make([]float32, len(q.Heads))
		for j, t := range q.Targets {
			out.Logprobs[i][j] = -1 - float32(q.Tokens[t]%13)/13
		}
		for j := range q.Heads {
			out.Heads[i][j] = noise
		}
		if opt.Entropy {
			out.Entropy[i] = make([]float32, len(q.Targets))
			for j := range out.Entropy[i] {
				out.Entropy[i][j] = 1
			}
		}
		if opt.Greedy {
			out.Greedy[i] = make([]bool, len(q.Targets))
		}
	}
	return out
}

// Backward implements lm.Learner.
func (s *rehearsedStep) Backward(lm.Gradient) error { return nil }

// Update implements lm.Learner.
func (s *rehearsedStep) Update(lm.Update) (float64, error) {
	if s.r.tokens.Updates++; s.r.tokens.Updates > 1 {
		return 1, nil
	}
	return 1, s.checkpoint()
}

// ZeroGrad implements lm.Learner.
func (s *rehearsedStep) ZeroGrad() error { return nil }

// State implements lm.Learner: as large as the real one.
func (s *rehearsedStep) State() (*lm.State, error) {
	st := &lm.State{}
	for _, part := range []*[]lm.Tensor{&st.Params, &st.M, &st.V} {
		*part = s.host.Params()
		for i, t := range *part {
			(*part)[i].Data = slices.Clone(t.Data)
		}
	}
	return st, nil
}

// SetState implements lm.Learner.
func (s *rehearsedStep) SetState(*lm.State) error { return nil }

// KL implements Engine.
func (r *rehearsal) KL(policy, reference lm.Evaluator) lm.KLFunc {
	p, ref := policy.(*rehearsedStep), reference.(*rehearsedStep)
	return func(ctx context.Context, batch []lm.Sequence, opt lm.Options) ([][]float32, error) {
		q := record(batch, lm.Options{Temperature: opt.Temperature})
		q.reference = 1 + ref.number
		p.keep(q)
		r.tokens.Score += 2 * int64(q.tokens)
		kl := make([][]float32, len(batch))
		for i := range batch {
			kl[i] = make([]float32, len(batch[i].Targets))
		}
		return kl, ctx.Err()
	}
}

// Generator implements Engine.
func (r *rehearsal) Generator(stack []*ggml.Adapter, sequences int) lm.Generator {
	return &rehearsedGenerator{r: r, stack: stack, sequences: sequences, aligned: r.onGPU}
}

// rehearsedGenerator answers every request at full length.
type rehearsedGenerator struct {
	r         *rehearsal
	stack     []*ggml.Adapter
	sequences int
	aligned   bool // prompts are read as if they were equally long, as on a GPU
}

// Generate implements lm.Generator. A response repeats its prompt without what could
// end it, so that its text has about as many tokens when it is tokenized again. Each begins
// at another place: answers to one prompt are to share no more than real ones do, as what
// sequences share is laid out once.
func (g *rehearsedGenerator) Generate(ctx context.Context, reqs []lm.Request, _ lm.Sampling) ([]lm.Generation, error) {
	opt := workspace.SessionOptions(g.stack, g.sequences, reqs)
	out := make([]lm.Generation, len(reqs))
	for i, r := range reqs {
		g.r.tokens.Generated += int64(r.MaxNew)
		text := slices.DeleteFunc(slices.Clone(r.Prompt),
			func(id int32) bool { return slices.Contains(r.StopTokens, id) || slices.Contains(g.r.stops(), id) })
		if len(text) == 0 {
			text = []int32{0}
		}
		for j := range r.MaxNew {
			out[i].Tokens = append(out[i].Tokens, text[(i+j)%len(text)])
		}
		out[i].Finish = lm.FinishLength
	}
	read, most := reading(reqs, opt.Sequences, g.aligned)
	g.r.tokens.Prompt += int64(read)
	// Where prompts are short, the tokens of all sequences are the larger batch.
	g.r.decoded(decoding{opt: opt, tokens: max(most, opt.Sequences), outputs: opt.Sequences})
	return out, ctx.Err()
}

// reading counts the prompt tokens that a session reads, and those that it reads at once at most: of as many
// requests in a row as there are sequences, since all may end at the same time. A prompt that requests in a row have
// in common is read once.
func reading(reqs []lm.Request, sequences int, aligned bool) (all, most int) {
	own := make([]int, len(reqs))
	longest, prompts, tokens := 0, 0, 0 // the latter two of the requests in sight
	count := func(i, sign int) {
		if tokens += sign * own[i]; own[i] > 0 {
			prompts += sign
		}
	}
	for i, r := range reqs {
		if i == 0 || !slices.Equal(r.Prompt, reqs[i-1].Prompt) {
			own[i] = len(r.Prompt)
		}
		longest = max(longest, own[i])
		all += own[i]
		if count(i, 1); i >= sequences {
			count(i-sequences, -1)
		}
		if aligned {
			most = max(most, prompts*longest)
		} else {
			most = max(most, tokens)
		}
	}
	return all, most
}

func (r *rehearsal) decoded(d decoding) {
	smaller := func(a, b decoding) bool {
		return a.opt.Sequences <= b.opt.Sequences && a.opt.Context <= b.opt.Context && a.tokens <= b.tokens &&
			len(a.opt.Adapters) <= len(b.opt.Adapters)
	}
	if slices.ContainsFunc(r.most, func(o decoding) bool { return smaller(d, o) }) {
		return
	}
	r.most = append(slices.DeleteFunc(r.most, func(o decoding) bool { return smaller(o, d) }), d)
}

// checkpoint makes what the loop makes of a learner at a checkpoint, while the data and
// the trainer are there, and looks at what the Go runtime then needs.
func (s *rehearsedStep) checkpoint() error {
	st, err := s.State()
	if err != nil {
		return err
	}
	a := s.host.Clone()
	if err := a.SetParams(st.Params); err != nil {
		return err
	}
	file, err := a.Bytes()
	s.r.look()
	runtime.KeepAlive(st)
	runtime.KeepAlive(a)
	runtime.KeepAlive(file)
	return err
}

// look raises the need of the Go runtime to what it is now, and holds it to that as the
// run will be: what is needed only between two looks then shows at the end.
func (r *rehearsal) look() {
	runtime.GC()
	r.follow()
}

// follow raises the need to what was alive when the collector last looked. Held to less, the
// runtime would do little but collect, here and in the run.
func (r *rehearsal) follow() {
	if need := machine.GoNeed(); need > r.goMost {
		r.goMost = need
		debug.SetMemoryLimit(need)
	}
}
