package compare_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"steer/eval/compare"
	"steer/rl/run"
)

func pack(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.jsonl.zst")
	f, err := os.Create(path)
	require.NoError(t, err)
	z, err := zstd.NewWriter(f)
	require.NoError(t, err)
	_, err = z.Write([]byte(strings.Join(lines, "\n")))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	return path
}

func TestReadItems(t *testing.T) {
	path := filepath.Join(t.TempDir(), "items.jsonl.zst")
	require.NoError(t, run.WriteRecords(path, []run.Item{
		{ID: "a", Gold: 1, Pred: 0, LogProbs: []float64{-1, -2}}, {ID: "b", Gold: 0, Pred: -1, Refused: true},
	}))
	items, err := compare.ReadItems(path)
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.Equal(t, []float64{-1, -2}, items[0].LogProbs)
	require.True(t, items[1].Refused)
	items, err = compare.ReadItems(pack(t, `{"id":"a","gold":0,"pred":-1,"tie":true}`))
	require.NoError(t, err)
	require.True(t, items[0].Tie)
	items, err = compare.ReadItems(pack(t, `{"id":"a","gold":1,"pred":1,"group":7,"of a later version":[1]}`))
	require.NoError(t, err)
	require.Len(t, items, 1)
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{`{"id":"a","loss":2.5}`}, `record 1: want fields "gold" and "pred"`},
		{[]string{`{"id":"a","gold":1,"pred":1}`, `{"id":"a","gold":1,"pred":1}`},
			`record 2: field "id": "a" occurs twice`},
		{[]string{`{"gold":1,"pred":1}`}, `field "id" is empty`},
		{[]string{`{"id":"a","gold":1,"pred":-1}`}, `-1 without "refused" or "tie"`},
		{[]string{`{"id":"a","gold":"x"}`}, "record 1"},
	} {
		_, err := compare.ReadItems(pack(t, c.lines...))
		require.ErrorContains(t, err, c.want)
	}
	for _, line := range []string{`{"id":"a"}`, `{"id":"a","gold":-1,"pred":-1}`} {
		_, err = compare.ReadItems(pack(t, line))
		require.ErrorIs(t, err, compare.ErrNotClassified)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, []byte(`{"id":"a"}`), 0o600))
	_, err = compare.ReadItems(plain)
	require.ErrorContains(t, err, "Zstandard")
	_, err = compare.ReadItems(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func answers(n int, seed uint64, gain map[string]float64) []run.Answer {
	r := rand.New(rand.NewPCG(seed, 2))
	var out []run.Answer
	for i := range n {
		level := r.NormFloat64()
		for _, p := range []string{"sft", "virtue"} {
			out = append(out, run.Answer{ID: fmt.Sprint(i), Policy: p,
				Raw: map[string]float64{"virtue": 2*(level+gain[p]+.3*r.NormFloat64()) + 1, "deontology": level}})
		}
	}
	return out
}

func TestScores(t *testing.T) {
	norm := func(a []run.Answer) compare.ScoreRun {
		return compare.ScoreRun{Answers: a, Mean: map[string]float64{"virtue": 1}, Std: map[string]float64{"virtue": 2}}
	}
	set := compare.ScoreSet{Policies: []string{"sft", "virtue"}, Rewards: []string{"deontology", "virtue"},
		Reference: "sft",
		Runs:      []compare.ScoreRun{norm(answers(80, 1, map[string]float64{"virtue": .4}))}}
	s, err := set.Compare(options())
	require.NoError(t, err)
	require.Equal(t, []int{80, 1, 0}, []int{s.Prompts, s.Runs, s.LeftOut})
	require.Nil(t, s.Cells[0][1].P, "the reference is not tested against itself")
	c := s.Cells[1][1]
	require.InDelta(t, .4, c.Difference.Value, .1, "in standard deviations")
	require.InDelta(t, 2*1/2001., *c.Holm, 1e-9, "the smallest p of 2,000 swaps, times a family of two")
	require.Equal(t, 1.0, *s.Cells[1][0].Holm, "equal scores")
	require.Equal(t, compare.TestMeans, c.Test)

	set.Runs = append(set.Runs, norm(answers(80, 1, map[string]float64{"virtue": .1})),
		norm(answers(80, 1, map[string]float64{"virtue": .7})))
	s, err = set.Compare(options())
	require.NoError(t, err)
	c = s.Cells[1][1]
	require.Len(t, c.PerRun, 3)
	require.InDelta(t, (c.PerRun[0]+c.PerRun[1]+c.PerRun[2])/3, c.Difference.Value, 1e-9)
	require.Less(t, *c.Difference.Lo, .0, "three runs between .1 and .7 do not exclude 0")
	require.Greater(t, *c.P, .05)

	bad := func(f func(*compare.ScoreSet), want string) {
		t.Helper()
		x := set
		x.Runs = []compare.ScoreRun{norm(answers(5, 1, nil))}
		f(&x)
		_, err := x.Compare(options())
		require.ErrorContains(t, err, want)
	}
	bad(func(x *compare.ScoreSet) { x.Reference = "base" }, `"base" is not among`)
	bad(func(x *compare.ScoreSet) { x.Rewards = []string{"justice"} }, `no score under "justice"`)
	bad(func(x *compare.ScoreSet) { x.Runs[0].Answers = x.Runs[0].Answers[:1] }, "no prompt was answered")
	bad(func(x *compare.ScoreSet) { x.Runs[0].Answers = append(x.Runs[0].Answers, x.Runs[0].Answers[0]) }, "twice")
	bad(func(x *compare.ScoreSet) { x.Runs = nil }, "no run")
}

func TestReadAnswers(t *testing.T) {
	a, err := compare.ReadAnswers(pack(t, `{"id":"1","policy":"sft","answer":"x","raw":{"virtue":0.5},"kl":1}`))
	require.NoError(t, err)
	require.Equal(t, 0.5, a[0].Raw["virtue"])
	_, err = compare.ReadAnswers(pack(t, `{"id":"1","policy":"sft"}`))
	require.ErrorContains(t, err, `"raw"`)
}

func TestCalibrate(t *testing.T) {
	x := item("a", 1, 1)
	x.LogProbs = []float64{math.Log(.2) - 40, math.Log(.8) - 40}
	y := item("b", 1, 0)
	y.LogProbs = []float64{-1, -1}
	bins, ece, ok := compare.Calibrate([]run.Prediction{x, y})
	require.True(t, ok)
	require.Equal(t, []int{1, 1}, []int{bins[0].N, bins[1].N}, "one half, wrong, and four fifths, right")
	require.InDelta(t, .5, bins[0].Forecast, 1e-12)
	require.InDelta(t, .8, bins[1].Forecast, 1e-12)
	require.InDelta(t, (.5+.2)/2, ece, 1e-12)
	_, _, ok = compare.Calibrate([]run.Prediction{x, item("b", 1, 0)})
	require.False(t, ok, "not all items have log-probabilities")
	_, _, ok = compare.Calibrate(nil)
	require.False(t, ok)
}
