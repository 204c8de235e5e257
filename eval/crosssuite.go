package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"steer/rl/data"
)

// CrossReward loads the prompts and runs [CrossReward]; nil without a path for them.
// The template is the one the policies were trained with. Classifiers of single statements
// are no judges of answers to a prompt, and have no column.
func (s *Suite) CrossReward(ctx context.Context, policies []Subject, rewards []Reward, tpl *data.Template) (*CrossRewardResult, error) {
	c := s.cfg.CrossReward
	rewards = slices.DeleteFunc(slices.Clone(rewards), func(r Reward) bool { return r.Classifier })
	if c.Prompts.Path == "" || len(rewards) == 0 {
		return nil, nil
	}
	if len(policies) == 0 || policies[0].Tokenizer == nil {
		return nil, fmt.Errorf("eval: cross_reward: no policy with a tokenizer")
	}
	prompts, file, err := LoadPrompts(c, policies[0].Tokenizer, tpl, s.cfg.BOS)
	if err != nil {
		return nil, err
	}
	for _, w := range file.warnings() {
		s.note(w)
	}
	opt, err := c.options(policies[0].Tokenizer, tpl)
	if err != nil {
		return nil, err
	}
	name := recordFile(NameCrossReward, "answers", "all")
	terms, keep, err := s.crossFingerprint(file, prompts, policies, rewards)
	if err != nil {
		return nil, err
	}
	p, err := resumable(s, name, terms, keep, unit{NameCrossReward, "", ""}, func(j *journal) (*piece, []AnswerRecord, error) {
		answering, judging := slices.Clone(policies), slices.Clone(rewards)
		for i := range answering {
			answering[i] = j.subject(answering[i])
		}
		for i := range judging {
			judging[i] = j.reward(judging[i], s.cfg.BatchTokens)
		}
		res, records, err := CrossReward(ctx, answering, judging, s.cfg.Settings, opt, prompts)
		if err != nil {
			return nil, nil, err
		}
		res.Prompts = file
		return &piece{CrossReward: res, Samples: res.Samples}, records, nil
	})
	if err != nil {
		return nil, err
	}
	p.CrossReward.Samples = p.Samples
	return p.CrossReward, nil
}

// crossFingerprint is what the matrix depends on; keep says whether every model has an
// ID to be recognised by.
func (s *Suite) crossFingerprint(file *PromptFile, prompts []Prompt, policies []Subject, rewards []Reward) (terms string, keep bool, err error) {
	keep = true
	var ids []string
	for _, p := range policies {
		ids = append(ids, p.Name+" "+p.ID)
		keep = keep && p.ID != ""
	}
	for _, r := range rewards {
		ids = append(ids, fmt.Sprintf("%s %s (raw - %g) / %g", r.Name, r.ID, r.Mean, r.Std))
		keep = keep && r.ID != ""
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(prompts); err != nil {
		return "", false, fmt.Errorf("eval: cross_reward: %w", err)
	}
	sums := map[string]string{"cross_reward.prompts": file.SHA256, "rendered": hex.EncodeToString(h.Sum(nil))}
	terms, err = s.terms([]string{"cross_reward"}, sums, ids...)
	return terms, keep, err
}
