package suite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/journal"
	"steer/eval/query"
	"steer/rl/data"
	"steer/rl/run"
)

// CrossReward loads the prompts and measures the matrix; nil without a path for them.
// The template is the one the policies were trained with. Classifiers of single statements
// are no judges of answers to a prompt, and have no column.
func (s *Suite) CrossReward(
	ctx context.Context, policies []eval.Subject, rewards []eval.Reward, tpl *data.Template,
) (*run.CrossReward, error) {
	c := s.cfg.CrossReward
	rewards = slices.DeleteFunc(slices.Clone(rewards), func(r eval.Reward) bool { return r.Classifier })
	if c.Prompts.Path == "" || len(rewards) == 0 {
		return nil, nil
	}
	if len(policies) == 0 || policies[0].Tokenizer == nil {
		return nil, fmt.Errorf("eval: cross_reward: no policy with a tokenizer")
	}
	prompts, file, err := benchmark.LoadPrompts(c, policies[0].Tokenizer, tpl, s.cfg.BOS)
	if err != nil {
		return nil, err
	}
	for _, w := range benchmark.PromptWarnings(file) {
		s.note(w)
	}
	opt, err := c.Options(policies[0].Tokenizer, tpl)
	if err != nil {
		return nil, err
	}
	m, err := s.crossReward(file, prompts, policies, rewards)
	if err != nil {
		return nil, err
	}
	o, err := resume(s, m, func(j *journal.Journal) (*run.Outcome, []run.Answer, error) {
		asked, judging := j.Models(policies, rewards, s.bytesAtOnce())
		res, records, err := benchmark.CrossReward(ctx, asked, judging, s.cfg.Settings, opt, prompts)
		if err != nil {
			return nil, nil, err
		}
		res.Prompts = file
		return &run.Outcome{CrossReward: res, Samples: res.Samples}, records, nil
	})
	if err != nil {
		return nil, err
	}
	o.CrossReward.Samples = o.Samples
	return o.CrossReward, nil
}

// crossReward is the measurement of the matrix: it depends on all policies and reward models, and
// on the prompts as they are rendered.
func (s *Suite) crossReward(
	file *run.DataFile, prompts []query.Prompt, policies []eval.Subject, rewards []eval.Reward,
) (measurement, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(prompts); err != nil {
		return measurement{}, fmt.Errorf("eval: cross_reward: %w", err)
	}
	sums := map[string]string{"cross_reward.prompts": file.SHA256, "rendered": hex.EncodeToString(h.Sum(nil))}
	ids, recognised := participants(policies, rewards)
	fingerprint, err := s.fingerprint([]string{benchmark.NameCrossReward}, sums, ids...)
	records := run.RecordsFile(benchmark.NameCrossReward, "answers", "all")
	return measurement{run.ID{Benchmark: benchmark.NameCrossReward}, records, fingerprint, recognised}, err
}
