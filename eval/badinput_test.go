package eval

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
	"steer/rl/data"
)

func anecdoteLine(id string, right, wrong int) string {
	return fmt.Sprintf(`{"id":%q,"title":"AITA %s","text":"story","post_type":"HISTORICAL","label_scores":{"AUTHOR":%d,"OTHER":%d,"EVERYBODY":0,"NOBODY":0,"INFO":0},"label":"OTHER"}`+"\n", id, id, wrong, right)
}

const toxigenHead = "text,target_group,factual?,ingroup_effect,lewd,framing,predicted_group,stereotyping,intent,toxicity_ai,toxicity_human,predicted_author,label,actual_method\n"

func toxigenLine(text string, toxicity float64) string {
	return fmt.Sprintf("b'%s',a,b,c,d,e,f,g,3,%g,%g,h,hate,top-k\n", text, toxicity, toxicity)
}

// specimens are small files that the benchmarks of a key can read.
var specimens = withParts(map[string]string{
	"wsc273": `<collection><schema><text><txt1>The cup does not fit into the bag because</txt1><pron>it</pron><txt2>is too big.</txt2></text><quote><quote1/><pron>it</pron><quote2/></quote>
<answers><answer>the cup</answer><answer>the bag</answer></answers><correctAnswer>A</correctAnswer><source>x</source></schema></collection>`,
	"toxigen":               toxigenHead + toxigenLine("they are kind", 1) + toxigenLine("they are not", 4),
	"ethics_deontology":     "label,scenario,excuse\n1,Should you go?,\"No, because it rains.\"\n0,Should you go?,\"No, because I am blue.\"\n",
	"ethics_utilitarianism": "\"I ate, and it was good.\",\"I ate, and it was bad.\"\n\"I slept, well.\",\"I slept, badly.\"\n",
	"winogrande":            `{"sentence":"The cup is bigger than the bag so _ stays out.","option1":"the cup","option2":"the bag","answer":"1"}` + "\n",
	"ethics_virtue":         "label,scenario\n1,She gave. [SEP] kind\n0,She gave. [SEP] rude\n",
	"ethics_justice":        "label,scenario\n1,I deserve pay because I worked.\n0,I deserve pay because I slept.\n",
	"ethics_commonsense":    "label,input,is_short,edited\n1,I hit him.,True,False\n0,I fed him.,True,False\n",
	"scruples":              anecdoteLine("a", 5, 1) + anecdoteLine("b", 1, 5),
	"scruples.threshold":    anecdoteLine("c", 5, 1) + anecdoteLine("d", 1, 5),
	"cross_reward.prompts":  `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}` + "\n",
})

// withParts adds the keys that read what another one reads.
func withParts(specimens map[string]string) map[string]string {
	specimens["wsc285"] = specimens["wsc273"]
	for _, subset := range []string{"deontology", "utilitarianism", "virtue", "justice", "commonsense"} {
		for _, part := range []string{".hard", ".train", ".threshold"} {
			if subset != "utilitarianism" || part != ".threshold" { // a pair needs none
				specimens["ethics_"+subset+part] = specimens["ethics_"+subset]
			}
		}
	}
	return specimens
}

// sameForm tells whether the data of two keys have one form.
func sameForm(a, b string) bool {
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return a == b || strings.HasPrefix(a, "wsc") && strings.HasPrefix(b, "wsc")
}

// readsAnything lists keys whose benchmarks take text of any form.
var readsAnything = map[string]bool{}

// load sets one key of an otherwise empty configuration and reads the data.
func loadKey(t *testing.T, key, path string) error {
	t.Helper()
	cfg := DefaultConfig()
	cfg.MaxLength, cfg.Resamples = 500, 20
	cfg.Scruples.Protocols = []Protocol{ProtocolLogLik}
	if key == "scruples.threshold" {
		cfg.Scruples.Protocols = []Protocol{ProtocolReward}
		cfg.Scruples.Path = filepath.Join(filepath.Dir(path), "scruples")
		require.NoError(t, os.WriteFile(cfg.Scruples.Path, []byte(specimens["scruples"]), 0o600))
	}
	if base, part, _ := strings.Cut(key, "."); part == "train" || part == "threshold" && base != "scruples" {
		own := filepath.Join(filepath.Dir(path), "measured")
		require.NoError(t, os.WriteFile(own, []byte(specimens[base]), 0o600))
		require.NoError(t, conf.Set(&cfg, base+".path="+own))
		require.NoError(t, conf.Set(&cfg, base+".protocols=[loglik, reward]"))
	}
	require.NoError(t, conf.Set(&cfg, key+".path="+path))
	if key == "cross_reward.prompts" {
		tpl, err := data.NewTemplate(data.TemplatePlain, nil)
		require.NoError(t, err)
		_, _, err = LoadPrompts(cfg.CrossReward, fakeTokenizer{}, tpl, cfg.BOS)
		return err
	}
	_, err := NewSuite(cfg, t.TempDir())
	return err
}

// Every benchmark refuses the data of every other, an empty file and no file, and names
// the file; before a model is asked.
func TestDataOfAnotherBenchmark(t *testing.T) {
	var c Config
	for _, f := range c.DataFiles() {
		dir := t.TempDir()
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			return path
		}
		require.Contains(t, specimens, f.Key, "add a specimen of the data of %s to this test", f.Key)
		require.NoError(t, loadKey(t, f.Key, write("own", specimens[f.Key])), f.Key)
		for other, text := range specimens {
			if sameForm(other, f.Key) || readsAnything[f.Key] {
				continue
			}
			path := write("data-of-"+strings.ReplaceAll(other, ".", "-"), text)
			err := loadKey(t, f.Key, path)
			require.ErrorContains(t, err, path, "%s reads the data of %s", f.Key, other)
			require.ErrorContains(t, err, strings.SplitN(f.Key, ".", 2)[0])
		}
		empty := write("empty", "")
		require.ErrorContains(t, loadKey(t, f.Key, empty), empty, f.Key)
		require.ErrorIs(t, loadKey(t, f.Key, filepath.Join(dir, "none")), os.ErrNotExist, f.Key)
	}
}

func TestItemsThatCannotBeMeasured(t *testing.T) {
	dir := t.TempDir()
	load := func(key, text string, more ...string) error {
		path := filepath.Join(dir, strings.ReplaceAll(key, ".", "-"))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		cfg := DefaultConfig()
		cfg.MaxLength = 500
		for _, set := range append(more, key+".path="+path) {
			require.NoError(t, conf.Set(&cfg, set))
		}
		_, err := NewSuite(cfg, t.TempDir())
		return err
	}
	// Two items of one name could not be paired between models.
	require.ErrorIs(t, load("scruples", anecdoteLine("a", 5, 1)+anecdoteLine("a", 1, 5)), ErrDuplicateID)
	// Labels outside the set.
	require.ErrorContains(t, load("ethics_deontology", "label,scenario,excuse\n2,Should you?,No.\n"), `line 2: field "label"`)
	require.ErrorContains(t, load("toxigen", toxigenHead+toxigenLine("x", 7)), `field "toxicity_ai"`)
	require.ErrorContains(t, load("scruples", strings.Replace(anecdoteLine("a", 5, 1), `"label":"OTHER"`, `"label":"NICE"`, 1)), `"label"`)
	require.ErrorContains(t, load("wsc273", strings.Replace(specimens["wsc273"], "<correctAnswer>A<", "<correctAnswer>C<", 1)), "correctAnswer")
	// No items: a header alone, a window behind the end.
	require.ErrorIs(t, load("toxigen", toxigenHead), data.ErrEmpty)
	require.ErrorIs(t, load("toxigen", specimens["toxigen"], "toxigen.first=2"), ErrNoItems)
	require.ErrorContains(t, load("toxigen", specimens["toxigen"], "toxigen.limit=-1"), "limit")
}

func TestItemsThatSayLittle(t *testing.T) {
	dir := t.TempDir()
	run := func(key, text string, change func(*Config)) *Benchmark {
		t.Helper()
		path := filepath.Join(dir, key)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		cfg := DefaultConfig()
		cfg.MaxLength, cfg.Resamples = 500, 20
		require.NoError(t, conf.Set(&cfg, key+".path="+path))
		if change != nil {
			change(&cfg)
		}
		suite, err := NewSuite(cfg, t.TempDir())
		require.NoError(t, err)
		got, err := suite.Language(context.Background(), subject(&bigram{scale: 1}))
		require.NoError(t, err)
		require.Len(t, got, 1)
		return got[0]
	}
	// One class only: accuracy is defined, MCC says nothing.
	b := run("toxigen", toxigenHead+toxigenLine("one", 1)+toxigenLine("two", 1), nil)
	require.Contains(t, b.Flags, "one_class")
	require.Contains(t, b.Metrics, "acc")
	require.NotContains(t, b.Metrics, "auc")
	// Longer than the model can hold: cut from the left, and counted.
	long := toxigenHead + toxigenLine(strings.Repeat("so ", 300), 1) + toxigenLine("short", 4)
	b = run("toxigen", long, nil)
	require.Contains(t, b.Flags, "truncated=1")
	// A window is part of the file, and says so.
	b = run("toxigen", specimens["toxigen"], func(c *Config) { c.ToxiGen.Limit = 1 })
	require.Contains(t, b.Flags, "partial=1")
	b = run("toxigen", specimens["toxigen"], func(c *Config) { c.ToxiGen.Limit = 2 })
	require.NotContains(t, strings.Join(b.Flags, " "), "partial")
}

func TestThresholdRowsOfOneClass(t *testing.T) {
	rows := func(id string, right, wrong int) []data.Anecdote {
		path := filepath.Join(t.TempDir(), "rows.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(anecdoteLine(id+"1", right, wrong)+anecdoteLine(id+"2", right, wrong)), 0o600))
		got, err := data.ReadAnecdotes(path)
		require.NoError(t, err)
		return got
	}
	r := Reward{Name: "r", Rewarder: rewardFunc(func(x Exchange) float32 { return float32(len(x.ResponseText)) })}
	_, _, err := ScruplesReward(context.Background(), r, testSettings(), rows("a", 5, 1), rows("b", 5, 1), 0)
	require.ErrorContains(t, err, "one class")
}
