package experiment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
	"steer/rewards"
)

const studyBase = `
name: base
model: model.gguf
out: runs/base
seed: 9
theories: [virtue]
sft: {train: {path: chat.jsonl}, max_steps: 7}
ppo: {prompts: {path: chat.jsonl}}
each:
  virtue: {reward: {train: {path: virtue.csv}}}
`

// written puts files into a new folder.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func TestStudyRunsAnExtendedExperimentUnderEverySeed(t *testing.T) {
	dir := written(t, map[string]string{"base.yaml": studyBase, "study.yaml": `
extends: base.yaml
name: study
out: runs/study
seeds: [1, 18446744073709551615]
sft: {max_tokens: 33}
reward: {seed: 5}
judges: [toxicity]
each:
  virtue: {ppo: {kl_coef: 0.3}}
  toxicity: {reward: {train: {path: toxigen.csv}}}
`})
	s, err := LoadStudy(filepath.Join(dir, "study.yaml"), []string{"ppo.iterations=4"})
	require.NoError(t, err)
	require.False(t, s.Single())
	require.Equal(t, filepath.Join(dir, "runs/study"), s.Out)
	require.Len(t, s.Runs, 2)
	e := s.Runs[1]
	require.Equal(t, "study", e.Name)
	require.Equal(t, filepath.Join(s.Out, "seed-18446744073709551615"), e.Out)
	require.EqualValues(t, uint64(1<<64-1), e.SFT.Seed)
	require.EqualValues(t, uint64(1<<64-1), e.Each["virtue"].PPO.Seed)
	require.EqualValues(t, 5, e.Each["virtue"].Reward.Seed, "a section's own seed holds in every run")
	require.Equal(t, s.Runs[0].Eval.Seed, e.Eval.Seed, "all runs are measured with the same draws")
	require.EqualValues(t, 7, e.SFT.MaxSteps, "of the file below")
	require.EqualValues(t, 33, e.SFT.MaxTokens)
	require.InDelta(t, 0.3, e.Each["virtue"].PPO.KLCoef, 1e-9)
	require.EqualValues(t, 4, e.Each["virtue"].PPO.Iterations)
	require.Equal(t, filepath.Join(dir, "virtue.csv"), e.Each["virtue"].Reward.Train.Path)

	var stages, judging, policies []string
	for _, x := range e.Stages() {
		stages = append(stages, x.Name)
	}
	for _, r := range e.Eval.Rewards {
		judging = append(judging, r.Name)
	}
	for _, p := range e.Eval.Subjects {
		policies = append(policies, p.Name)
	}
	require.Equal(t, []string{"sft", "reward-virtue", "reward-toxicity", "ppo-virtue", "eval"}, stages)
	require.Equal(t, []string{"virtue", "toxicity"}, judging)
	require.Equal(t, []string{"sft", "virtue"}, policies)
	require.NoError(t, s.Validate())
}

func TestExperimentWithoutSeedsIsOneRun(t *testing.T) {
	dir := written(t, map[string]string{"base.yaml": studyBase})
	s, err := LoadStudy(filepath.Join(dir, "base.yaml"), []string{"seed=4"})
	require.NoError(t, err)
	require.True(t, s.Single())
	require.EqualValues(t, 4, s.Runs[0].SFT.Seed)
	require.Equal(t, []rewards.TheoryName{"virtue"}, s.Runs[0].Theories)
}

func TestMistakesInAStudy(t *testing.T) {
	for name, c := range map[string]struct {
		study string
		set   []string
		want  string
	}{
		"nothing there": {study: "extends: none.yaml", want: "study.yaml: extends: there is no none.yaml in "},
		"other folder":  {study: "extends: ../base.yaml", want: "want the name of a file in the same folder"},
		"itself":        {study: "extends: study.yaml", want: "study.yaml extends itself, by way of study.yaml"},
		"in a circle":   {study: "extends: circle.yaml", want: "study.yaml extends itself, by way of circle.yaml"},
		"mistake below": {study: "extends: wrong.yaml", want: "wrong.yaml:1: nme: unknown key"},
		"twice": {study: "extends: base.yaml\nseeds: [1, 2, 1]",
			want: "study.yaml: seeds: 1 stands there twice"},
		"not a seed": {study: "extends: base.yaml\nseeds: [1, -2]", want: "study.yaml:2: seeds[1]"},
		"seed set": {study: "extends: base.yaml\nseeds: [1, 2]", set: []string{"seed=2"},
			want: "override seeds (--set seeds=[1]), not seed"},
		"judge has no data": {study: "extends: base.yaml\njudges: [toxicity]",
			want: `judges names "toxicity": want its data under each.toxicity.reward.train.path`},
		"judge and theory": {study: "extends: base.yaml\njudges: [virtue]",
			want: `judges names "virtue" a second time`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, map[string]string{"base.yaml": studyBase, "wrong.yaml": "nme: x",
				"circle.yaml": "extends: study.yaml", "study.yaml": c.study})
			_, err := LoadStudy(filepath.Join(dir, "study.yaml"), c.set)
			require.ErrorContains(t, err, c.want)
		})
	}
	dir := written(t, map[string]string{"study.yaml": studyBase + "seeds: [1, 2]\n"})
	_, err := LoadExperiment(filepath.Join(dir, "study.yaml"), nil)
	var mistake *conf.Error
	require.ErrorAs(t, err, &mistake)
}
