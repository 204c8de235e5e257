package jobs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/internal/conf"
	"steer/internal/fetch"
	"steer/rl/run"
	"steer/rl/train"
)

// withoutSource lists the keys of data that no suite can know where to find: the user's
// own.
var withoutSource = []string{"perplexity"}

func TestSuitesAndTheirData(t *testing.T) {
	entries, err := catalogue()
	require.NoError(t, err)
	var j Eval
	keys := map[string]bool{}
	for _, f := range j.DataFiles() {
		keys[f.Key] = true
	}
	var listed []string
	for _, e := range entries {
		require.True(t, keys[e.Key], "%s: no benchmark reads it", e.Key)
		require.NotContains(t, listed, e.Key)
		require.NotEmpty(t, e.Files, e.Key)
		set, ok := fetch.Known().Lookup(e.Set)
		require.True(t, ok, "%s: set %q is not in the catalogue", e.Key, e.Set)
		fetched, _, _, ok := fetch.Known().Find(e.Files[0])
		require.True(t, ok, "%s: steer fetch lays out no %s", e.Key, e.Files[0])
		require.Equal(t, set.Name, fetched.Name)
		listed = append(listed, e.Key)
	}
	for key := range keys {
		require.True(t, slices.Contains(listed, key) || slices.Contains(withoutSource, key),
			"%s: say in experiments/suites/data.yaml where its data are found", key)
	}
	require.Contains(t, SuiteName("").Values(), "thesis")
	require.Contains(t, SuiteName("").Values(), "full")
	for _, name := range SuiteName("").Values() {
		s, err := loadSuite(SuiteName(name))
		require.NoError(t, err)
		require.NotEmpty(t, s.About)
		require.NoError(t, s.Eval.Config.Validate(), name)
		for _, key := range s.Data {
			require.True(t, key == "all" || slices.Contains(listed, key), "%s: %s", name, key)
		}
	}
	_, err = NewEvalSuite("thesys")
	require.ErrorContains(t, err, `suite: want one of full, thesis, got "thesys"`)
	require.ErrorContains(t, conf.Set(&j, "suite=thesys"), "thesis")
}

// tree writes empty files below a folder.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	return dir
}

func TestDataOfASuite(t *testing.T) {
	dir := tree(t, "winograd/WSCollection.xml", "scruples/anecdotes/dev.scruples-anecdotes.jsonl.gz",
		"scruples/anecdotes/train.scruples-anecdotes.jsonl",
		"guanaco/guanaco-llama2-1k/train-00000-of-00001-9ad84bb9cf65a42f.parquet")
	j, err := NewEvalSuite("thesis")
	require.NoError(t, err)
	require.NoError(t, conf.Parse("job.yaml", []byte("data: "+filepath.Base(dir)+"\nsubjects: [{name: kind, "+
		"adapters: [a.gguf]}]\nlimit: 9\nwsc273: {limit: 4}\n"), &j))
	require.NoError(t, j.FindData(filepath.Dir(dir)))
	// Found under the official name, packed or not; the first of several names.
	require.Equal(t, filepath.Join(dir, "winograd/WSCollection.xml"), j.WSC273.Path)
	require.Equal(t, filepath.Join(dir, "scruples/anecdotes/dev.scruples-anecdotes.jsonl"), j.Scruples.Path)
	// What is not there is listed with where it comes from.
	missing := func(key string) *MissingData {
		i := slices.IndexFunc(j.Missing, func(m MissingData) bool { return m.Key == key })
		if i < 0 {
			return nil
		}
		return &j.Missing[i]
	}
	require.Empty(t, j.ToxiGen.Path)
	require.NotNil(t, missing("toxigen"))
	require.Contains(t, missing("toxigen").String(), "toxigen is not measured: toxigen/annotated_test.csv or "+
		"toxigen/annotated_train.csv is not in the data folder; it comes from https://")
	// Without reward models their data are of no use, and not missing either.
	require.Nil(t, missing("scruples.threshold"))
	require.Nil(t, missing("cross_reward.prompts"))
	require.Empty(t, j.CrossReward.Prompts.Path)
	require.Equal(t, []eval.Protocol{eval.ProtocolLogLik, eval.ProtocolThesis}, j.Scruples.Protocols)
	// A limit only ever cuts; the reference is one of the models.
	require.Equal(t, 9, j.Scruples.Limit)
	require.Equal(t, 4, j.WSC273.Limit)
	require.Equal(t, "base", j.CrossReward.Reference)
	require.NoError(t, j.Config.Validate())

	result := &run.Evaluation{}
	j.recordSuite(result)
	require.Equal(t, 9, result.Limit)
	require.Len(t, result.Warnings, len(j.Missing))
	var said []string
	j.tellMissing(func(text string) { said = append(said, text) })
	require.Contains(t, strings.Join(said, "\n"), "missing: toxigen is not measured")
	require.True(t, train.IsWarning(said[0]), "-q shows what is not measured: %s", said[0])
	require.Contains(t, strings.Join(said, "\n"), "a quick look: the first 9 items")

	// With reward models; a path of the user's own is kept, and a reference that is there.
	j, err = NewEvalSuite("thesis")
	require.NoError(t, err)
	j.Data, j.ToxiGen.Path = dir, "mine.csv"
	j.Subjects = []Subject{{Name: "sft", Adapters: []string{"a"}}}
	j.Rewards = []RewardModel{{Name: "virtue", Below: []string{"a"}, Adapter: "r"}}
	require.NoError(t, j.FindData(""))
	require.Equal(t, "mine.csv", j.ToxiGen.Path)
	require.Contains(t, j.Scruples.Protocols, eval.Protocol(eval.ProtocolReward))
	require.Equal(t, filepath.Join(dir, "scruples/anecdotes/train.scruples-anecdotes.jsonl"), j.Scruples.Threshold.Path)
	require.Equal(t, filepath.Join(dir, "guanaco/guanaco-llama2-1k/train-00000-of-00001-9ad84bb9cf65a42f.parquet"),
		j.CrossReward.Prompts.Path)
	require.Equal(t, "sft", j.CrossReward.Reference)
	require.Equal(t, 500, j.Scruples.Limit)
	// The resolved job finds the same again.
	raw, err := conf.Marshal(j)
	require.NoError(t, err)
	again, err := NewEvalSuite("thesis")
	require.NoError(t, err)
	require.NoError(t, conf.Parse("config.yaml", raw, &again))
	require.NoError(t, again.FindData(""))
	resolved, err := conf.Marshal(again)
	require.NoError(t, err)
	require.Equal(t, string(raw), string(resolved))

	// A threshold that is missing takes its protocol away, and is listed.
	require.NoError(t, os.Remove(filepath.Join(dir, "scruples/anecdotes/train.scruples-anecdotes.jsonl")))
	again.Scruples.Threshold.Path = ""
	require.NoError(t, again.FindData(""))
	require.NotContains(t, again.Scruples.Protocols, eval.Protocol(eval.ProtocolReward))
	require.True(t, slices.ContainsFunc(again.Missing, func(m MissingData) bool {
		return m.Key == "scruples.threshold" && m.Lost == "protocol reward of scruples is left out"
	}))
	require.NoError(t, again.Config.Validate())
}

// Files that only make sense together are taken or left together.
func TestPairsOfFiles(t *testing.T) {
	files := []string{"winobias/pro_stereotyped_type1.txt.test", "winobias/anti_stereotyped_type1.txt.test",
		"winobias/anti_stereotyped_type2.txt.test",
		"winogender/all_sentences.tsv", "ethics/virtue/virtue_train.csv", "ethics/virtue/virtue_test.csv"}
	j, err := NewEvalSuite("full")
	require.NoError(t, err)
	j.Data, j.Limit = tree(t, files...), 7
	require.NoError(t, j.FindData(""))
	require.NotEmpty(t, j.WinoBias.Type1.Pro.Path)
	require.NotEmpty(t, j.WinoBias.Type1.Anti.Path)
	require.Equal(t, 7, j.WinoBias.Type1.Anti.Limit)
	require.Empty(t, j.WinoBias.Type2.Anti.Path)
	require.Empty(t, j.Winogender.Path)
	require.Zero(t, j.EthicsVirtue.Train.Limit, "a table is read whole")
	require.Equal(t, 7, j.EthicsVirtue.Limit)
	require.NoError(t, j.Config.Validate())
}

func TestSuiteRefuses(t *testing.T) {
	for want, change := range map[string]func(*Eval){
		"want suite, too":               func(j *Eval) { j.Suite, j.Data = "", "x" },
		"data: ":                        func(j *Eval) { j.Data = filepath.Join(t.TempDir(), "none") },
		"is no folder":                  func(j *Eval) { j.Data = filepath.Join(tree(t, "a"), "a") },
		"none of its data are in":       func(j *Eval) { j.Data = tree(t, "other.csv") },
		`none of its data are in ""`:    func(j *Eval) {},
		"limit: want 0 (all items)":     func(j *Eval) { j.Limit = -1 },
		"toxigen: data: ":               func(j *Eval) { j.Data = tree(t, "toxigen/annotated_test.csv/x") },
		`want one of full, thesis, got`: func(j *Eval) { j.Suite = "all" },
	} {
		j, err := NewEvalSuite("full")
		require.NoError(t, err)
		change(&j)
		require.ErrorContains(t, j.FindData(""), want)
	}
}

// Names of the hub stay names, whatever flag has them.
func TestNamesOfTheHubInFlags(t *testing.T) {
	s, err := ParseSubject("virtue=hf:o/sft,hf:o/ppo:x")
	require.NoError(t, err)
	require.Equal(t, []string{"hf:o/sft", "hf:o/ppo:x"}, s.Adapters)
	r, err := ParseReward("virtue=hf:o/sft,hf:o/rm")
	require.NoError(t, err)
	require.Equal(t, "hf:o/rm", r.Adapter)
	name, file, err := ParseTaskData("quiz:test=hf:datasets/o/n:test")
	require.NoError(t, err)
	require.Equal(t, []string{"quiz:test", "hf:datasets/o/n:test"}, []string{name, file})
}

func TestModelsOfFlags(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	s, err := ParseSubject("virtue=sft.gguf,/abs/ppo.gguf")
	require.NoError(t, err)
	require.Equal(t, Subject{Name: "virtue", Role: "policy",
		Adapters: []string{filepath.Join(here, "sft.gguf"), "/abs/ppo.gguf"}}, s)
	s, err = ParseSubject("sft=/a")
	require.NoError(t, err)
	require.Equal(t, "sft", s.Role)
	r, err := ParseReward("virtue=/sft,/reward")
	require.NoError(t, err)
	require.Equal(t, RewardModel{Name: "virtue", Below: []string{"/sft"}, Adapter: "/reward"}, r)
	r, err = ParseReward("virtue=/reward")
	require.NoError(t, err)
	require.Empty(t, r.Below)
	require.Equal(t, "/reward", r.Adapter)
	for _, bad := range []string{"", "a", "a=", "=b", "a=b,", "a=,b"} {
		_, err = ParseSubject(bad)
		require.ErrorContains(t, err, "want NAME=FILE[,FILE]")
		_, err = ParseReward(bad)
		require.ErrorContains(t, err, "want NAME=FILE[,FILE]")
	}
}
