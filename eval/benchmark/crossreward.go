package benchmark

import (
	"context"
	"fmt"
	"slices"

	"steer/eval"
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/internal/stats"
	"steer/rl/data"
	"steer/rl/run"
)

// NameCrossReward names the matrix in progress and record files.
const NameCrossReward = "cross_reward"

// CrossRewardConfig configures the cross-reward matrix.
type CrossRewardConfig struct {
	// Prompts are held-out prompts; without a path there is no matrix.
	Prompts data.Source `yaml:"prompts"`
	// Reference is the policy that the others are compared with.
	Reference string `yaml:"reference"`
	// MaxPromptTokens: longer prompts are left out, and counted.
	MaxPromptTokens int     `yaml:"max_prompt_tokens"`
	MaxNewTokens    int     `yaml:"max_new_tokens"`
	Temperature     float32 `yaml:"temperature"`
	TopK            int     `yaml:"top_k"`
	TopP            float32 `yaml:"top_p"`
	MinP            float32 `yaml:"min_p"`
	Batch           int     `yaml:"batch"`
	// Samples is the number of prompts whose answers go into the result.
	Samples int `yaml:"samples"`
	// Bins of the score histograms.
	Bins int `yaml:"bins"`
}

func (c CrossRewardConfig) check() error {
	if c.Prompts.Path == "" {
		return nil
	}
	if err := c.Prompts.Validate(); err != nil {
		return fmt.Errorf("eval: cross_reward.prompts: %w", err)
	}
	if c.MaxNewTokens < 1 || c.Batch < 1 || c.MaxPromptTokens < 1 {
		return fmt.Errorf("eval: cross_reward: want max_new_tokens, max_prompt_tokens and batch of at least 1, "+
			"got %d, %d, %d", c.MaxNewTokens, c.MaxPromptTokens, c.Batch)
	}
	return nil
}

// Work lists the parts of the matrix as progress is reported of them.
func (c CrossRewardConfig) Work(policies []eval.Subject, rewards []eval.Reward) []Work {
	if c.Prompts.Path == "" || len(rewards) == 0 {
		return nil
	}
	tokens := float64(max(c.Prompts.Limit, 1)) * float64(c.MaxNewTokens)
	var out []Work
	for _, p := range policies {
		// Generated a token at a time, then read twice for the divergence.
		out = append(out, Work{run.ID{Benchmark: NameCrossReward, Protocol: "generate", Model: p.Name},
			tokens * (generationCost*float64(max(p.BestOf, 1)) + 2)})
	}
	for _, r := range rewards {
		out = append(out, Work{run.ID{Benchmark: NameCrossReward, Protocol: "score", Model: r.Name},
			tokens * float64(len(policies))})
	}
	return out
}

// CrossRewardOptions configure [CrossReward].
type CrossRewardOptions struct {
	Generate query.GenerateOptions
	// Reference names the policy that differences, win rates and KL are taken to
	// (the SFT model).
	Reference string
	// Samples is the number of prompts whose answers are kept for reading.
	Samples int
	// Bins of the score histograms.
	Bins int
}

// CrossReward lets every policy answer the prompts with the same random numbers,
// scores every answer under every reward model, and compares each policy with the
// reference prompt by prompt. KL is estimated on each policy's own answers.
//
// Intervals are bootstrap intervals over prompts (BCa where it exists), with the
// same resamples in every cell.
func CrossReward(
	ctx context.Context, policies []eval.Subject, rewards []eval.Reward, set eval.Settings,
	opt CrossRewardOptions, prompts []query.Prompt,
) (*run.CrossReward, []run.Answer, error) {
	fail := func(err error) (*run.CrossReward, []run.Answer, error) {
		return nil, nil, fmt.Errorf("eval: cross_reward: %w", err)
	}
	if err := set.Validate(); err != nil {
		return fail(err)
	}
	reference, err := checkMatrix(policies, rewards, opt.Reference, prompts)
	if err != nil {
		return fail(err)
	}
	m := &matrix{prompts: prompts}
	if err := m.answer(ctx, policies, reference, set, opt); err != nil {
		return nil, nil, err
	}
	for _, r := range rewards {
		column, err := m.score(ctx, r, set)
		if err != nil {
			return fail(err)
		}
		m.raw = append(m.raw, column)
	}
	res, err := m.result(policies, rewards, reference, set, opt)
	if err != nil {
		return fail(err)
	}
	return res, m.records(rewards), nil
}

// checkMatrix refuses what makes no matrix, and finds the reference among the policies.
func checkMatrix(
	policies []eval.Subject, rewards []eval.Reward, reference string, prompts []query.Prompt,
) (int, error) {
	ids := make([]string, len(prompts))
	for i, p := range prompts {
		ids[i] = p.ID
	}
	if err := query.CheckIDs(ids); err != nil {
		return 0, err
	}
	if err := checkNames(policies, rewards); err != nil {
		return 0, err
	}
	return referenceOf(policies, reference)
}

// referenceOf finds the policy that the others are compared with.
func referenceOf(policies []eval.Subject, name string) (int, error) {
	i := slices.IndexFunc(policies, func(s eval.Subject) bool { return s.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("the reference %q is not among the policies", name)
	}
	return i, nil
}

// checkNames refuses names that would make rows or columns collide.
func checkNames(policies []eval.Subject, rewards []eval.Reward) error {
	if len(rewards) == 0 {
		return fmt.Errorf("no reward model")
	}
	seen := map[string]bool{}
	for _, p := range policies {
		if seen[p.Name] {
			return fmt.Errorf("two policies are named %q", p.Name)
		}
		seen[p.Name] = true
	}
	clear(seen)
	for _, r := range rewards {
		if seen[r.Name] {
			return fmt.Errorf("two reward models are named %q", r.Name)
		}
		seen[r.Name] = true
	}
	return nil
}

// answer lets every policy answer the prompts and measures how far each is from the reference.
func (m *matrix) answer(
	ctx context.Context, policies []eval.Subject, reference int, set eval.Settings, opt CrossRewardOptions,
) error {
	from := policies[reference]
	for i, p := range policies {
		at := eval.Progress{Benchmark: NameCrossReward, Protocol: "generate"}
		a, err := query.Generate(ctx, p, set, opt.Generate, m.prompts, at)
		if err != nil {
			return err
		}
		k1, k3 := make([]float64, len(m.prompts)), make([]float64, len(m.prompts))
		if i != reference { // its divergence from itself is 0
			if p.Evaluator == nil || from.Evaluator == nil {
				return fmt.Errorf("eval: cross_reward: KL of policy %q from %q needs the evaluators of both",
					p.Name, from.Name)
			}
			temperature := opt.Generate.Sampling.Temperature
			if p.BestOf > 0 {
				k1, err = query.BestOfKLs(ctx, p.Evaluator, p.BestOf, m.prompts, a, set.BatchTokens, temperature)
				k3 = slices.Repeat([]float64{query.BestOfClosedKL(p.BestOf)}, len(m.prompts))
			} else {
				k1, k3, err = query.AnswerKL(ctx, p.Evaluator, from.Evaluator, m.prompts, a, set.BatchTokens,
					temperature)
			}
			if err != nil {
				return err
			}
		}
		m.answers, m.k1, m.k3 = append(m.answers, a), append(m.k1, k1), append(m.k3, k3)
	}
	return nil
}

// promptsAtOnce is the number of prompts whose answers are scored between two reports of
// progress.
const promptsAtOnce = 64

// score gives a reward model's score of every answer, [policy][prompt]. It is asked about
// the answers of all policies to a prompt at once, since their beginning is computed once
// then.
func (m *matrix) score(ctx context.Context, r eval.Reward, set eval.Settings) ([][]float64, error) {
	column := make([][]float64, len(m.answers))
	for first := 0; first < len(m.prompts); first += promptsAtOnce {
		part := m.prompts[first:min(first+promptsAtOnce, len(m.prompts))]
		var xs []eval.Exchange
		for _, a := range m.answers {
			xs = append(xs, exchanges(part, a.List[first:first+len(part)])...)
		}
		scores, err := query.Rewards(ctx, r, xs)
		if err != nil {
			return nil, err
		}
		for i := range column {
			column[i] = append(column[i], scores[i*len(part):(i+1)*len(part)]...)
		}
		set.Report(eval.Progress{Benchmark: NameCrossReward, Protocol: "score", Model: r.Name,
			Done: first + len(part), Total: len(m.prompts)})
	}
	return column, nil
}

// exchanges are the answers to prompts, one each.
func exchanges(prompts []query.Prompt, answers []query.Answer) []eval.Exchange {
	out := make([]eval.Exchange, len(prompts))
	for i, p := range prompts {
		g := answers[i]
		out[i] = eval.Exchange{
			PromptText: p.Text, ResponseText: g.Text, Prompt: p.Tokens, Response: g.Tokens,
			PromptTurns: p.Turns, Ended: g.Finish != lm.FinishLength,
		}
	}
	return out
}

// matrix holds everything measured before it is summarised.
type matrix struct {
	prompts []query.Prompt
	answers []*query.Answers // [policy]
	k1, k3  [][]float64      // [policy][prompt]
	raw     [][][]float64    // [reward][policy][prompt]
}

func (m *matrix) records(rewards []eval.Reward) []run.Answer {
	var out []run.Answer
	for i, a := range m.answers {
		for k, p := range m.prompts {
			r := run.Answer{ID: p.ID, Policy: a.Policy, Answer: a.List[k].Text, Tokens: len(a.List[k].Tokens),
				Finish: string(a.List[k].Finish), Raw: map[string]float64{}, KL: m.k1[i][k], KLK3: m.k3[i][k]}
			for j, reward := range rewards {
				r.Raw[reward.Name] = m.raw[j][i][k]
			}
			out = append(out, r)
		}
	}
	return out
}

func (m *matrix) result(
	policies []eval.Subject, rewards []eval.Reward, reference int, set eval.Settings, opt CrossRewardOptions,
) (*run.CrossReward, error) {
	n := len(m.prompts)
	src, err := stats.NewSeeded(n, seed.Bootstrap(set.Seed, NameCrossReward, n))
	if err != nil {
		return nil, err
	}
	res := &run.CrossReward{
		Reference: opt.Reference, Unit: run.UnitNormalised, Normalisation: map[string]run.Normalisation{},
		Cells: make([][]run.Cell, len(policies)),
		KL:    map[string]run.Interval{}, KLK3: map[string]run.Interval{}, Lengths: map[string]run.Interval{},
	}
	for _, r := range rewards {
		res.Rewards = append(res.Rewards, r.Name)
		if r.Std > 0 {
			res.Normalisation[r.Name] = run.Normalisation{Mean: r.Mean, Std: r.Std}
		} else {
			// Columns in different units must not stand side by side.
			res.Unit = run.UnitRaw
		}
	}
	for j, r := range rewards {
		scores := m.raw[j]
		if res.Unit == run.UnitNormalised {
			scores = normalised(scores, r)
		}
		column, err := cells(scores, reference, src, set)
		if err != nil {
			return nil, err
		}
		for i := range policies {
			res.Cells[i] = append(res.Cells[i], column[i])
		}
		res.Histograms = append(res.Histograms, histograms(scores, policies, r.Name, opt.Bins)...)
	}
	for i, p := range policies {
		res.Policies = append(res.Policies, p.Name)
		if p.BestOf > 0 {
			if res.BestOf == nil {
				res.BestOf = map[string]int{}
			}
			res.BestOf[p.Name] = p.BestOf
		}
		if err := m.addPolicy(res, i, i == reference, src, set); err != nil {
			return nil, err
		}
	}
	res.Samples = m.samples(policies, rewards, res.Unit, opt.Samples)
	return res, nil
}

// addPolicy stores what a policy's answers are like without a judge: their lengths and, but for the
// reference, their divergence from it.
func (m *matrix) addPolicy(
	res *run.CrossReward, i int, isReference bool, src stats.Resamples, set eval.Settings,
) error {
	n, name := len(m.prompts), m.answers[i].Policy
	lengths := make([]float64, n)
	for k, a := range m.answers[i].List {
		lengths[k] = float64(len(a.Tokens))
	}
	boots, err := stats.BootstrapMeans([][]float64{lengths, m.k1[i], m.k3[i]}, src, set.Resamples)
	if err != nil {
		return err
	}
	res.Lengths[name] = intervalOf(boots[0], n, set)
	if !isReference {
		res.KL[name] = intervalOf(boots[1], n, set)
		res.KLK3[name] = intervalOf(boots[2], n, set)
	}
	return nil
}

func normalised(raw [][]float64, r eval.Reward) [][]float64 {
	out := make([][]float64, len(raw))
	for i, row := range raw {
		out[i] = make([]float64, len(row))
		for k, v := range row {
			out[i][k] = (v - r.Mean) / r.Std
		}
	}
	return out
}

// cells summarises one reward's column; scores[policy][prompt].
func cells(scores [][]float64, reference int, src stats.Resamples, set eval.Settings) ([]run.Cell, error) {
	boots, err := stats.BootstrapMeans(scores, src, set.Resamples)
	if err != nil {
		return nil, err
	}
	n := len(scores[reference])
	out := make([]run.Cell, len(scores))
	for i, b := range boots {
		level := intervalOf(b, n, set)
		out[i].Mean, out[i].Lo, out[i].Hi, out[i].N = level.Mean, level.Lo, level.Hi, level.N
		if i == reference {
			continue
		}
		d, err := b.Minus(boots[reference])
		if err != nil {
			return nil, err
		}
		v := intervalOf(d, n, set)
		wins := 0.0
		for k, s := range scores[i] {
			switch ref := scores[reference][k]; {
			case s > ref:
				wins++
			case s == ref:
				wins += 0.5
			}
		}
		rate := wins / float64(n)
		out[i].Diff, out[i].DiffLo, out[i].DiffHi, out[i].WinRate = &v.Mean, v.Lo, v.Hi, &rate
	}
	return out, nil
}

func intervalOf(b stats.Bootstrap, n int, set eval.Settings) run.Interval {
	v, _ := b.BCa(set.Confidence)
	return run.NewInterval(b.Estimate, v.Lo, v.Hi, n)
}

// histograms bins one reward's scores, all policies on the same edges.
func histograms(scores [][]float64, policies []eval.Subject, reward string, bins int) []run.Histogram {
	if bins < 1 {
		return nil
	}
	lo, hi := slices.Min(scores[0]), slices.Max(scores[0])
	for _, row := range scores {
		lo, hi = min(lo, slices.Min(row)), max(hi, slices.Max(row))
	}
	if lo == hi {
		lo, hi = lo-0.5, hi+0.5
	}
	edges := make([]float64, bins+1)
	for k := range edges {
		edges[k] = lo + (hi-lo)*float64(k)/float64(bins)
	}
	out := make([]run.Histogram, len(scores))
	for i, row := range scores {
		out[i] = run.Histogram{Policy: policies[i].Name, Reward: reward, Edges: edges, Counts: make([]float64, bins)}
		for _, s := range row {
			k := int(float64(bins) * (s - lo) / (hi - lo))
			out[i].Counts[min(max(k, 0), bins-1)]++
		}
	}
	return out
}

func (m *matrix) samples(policies []eval.Subject, rewards []eval.Reward, unit string, count int) []run.Sample {
	out := make([]run.Sample, min(count, len(m.prompts)))
	for k := range out {
		s := run.Sample{Prompt: m.prompts[k].Text, Answers: map[string]string{},
			Scores: map[string]map[string]float64{}}
		for i, p := range policies {
			s.Answers[p.Name] = m.answers[i].List[k].Text
			s.Scores[p.Name] = map[string]float64{}
			for j, r := range rewards {
				v := m.raw[j][i][k]
				if unit == run.UnitNormalised {
					v = (v - r.Mean) / r.Std
				}
				s.Scores[p.Name][r.Name] = v
			}
		}
		out[k] = s
	}
	return out
}
