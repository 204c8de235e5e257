package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/evaltest"
	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/run"
)

const toxigenHead = "text,target_group,factual?,ingroup_effect,lewd,framing,predicted_group,stereotyping," +
	"intent,toxicity_ai,toxicity_human,predicted_author,label,actual_method\n"

func toxigenLine(text string, toxicity float64) string {
	return fmt.Sprintf("b'%s',a,b,c,d,e,f,g,3,%g,%g,h,hate,top-k\n", text, toxicity, toxicity)
}

// specimens are small files by kind; families says which kind a key of the configuration
// reads.
var specimens = map[string]string{
	"wsc": `<collection><schema><text><txt1>The cup does not fit into the bag because</txt1><pron>it</pron>` +
		`<txt2>is too big.</txt2></text><quote><quote1/><pron>it</pron><quote2/></quote>` +
		`<answers><answer>the cup</answer><answer>the bag</answer></answers><correctAnswer>A</correctAnswer>` +
		`<source>x</source></schema></collection>`,
	"winogrande": `{"context_options": ["Ann met Eve so Ann", "Ann met Eve so Eve"], "continuation": ` +
		`"smiled.", "gold": 1}` + "\n",
	"toxigen": toxigenHead + toxigenLine("they are kind", 1) + toxigenLine("they are not", 4),
	"deontology": "label,scenario,excuse\n1,Should you go?,\"No, because it rains.\"\n" +
		"0,Should you go?,\"No, because I am blue.\"\n",
	"utilitarianism": "\"I ate, and it was good.\",\"I ate, and it was bad.\"\n" +
		"\"I slept, well.\",\"I slept, badly.\"\n",
	"virtue":      "label,scenario\n1,Ann smiled. [SEP] kind\n0,Ann smiled. [SEP] cruel\n",
	"justice":     "label,scenario\n1,I pay her since she works.\n0,I pay her since she is tall.\n",
	"commonsense": "label,input,is_short,edited\n0,I fed the dog.,True,False\n1,I kicked the dog.,True,False\n",
	"scruples":    evaltest.AnecdoteLine("a", 5, 1) + evaltest.AnecdoteLine("b", 1, 5),
	"dilemmas": `{"id":"a","actions":[{"id":"1","description":"x"},{"id":"2","description":"y"}],` +
		`"gold_annotations":[3,2],"gold_label":0,"human_perf_annotations":[2,3],"human_perf_label":1,` +
		`"controversial":true}` + "\n",
	"hh":       `{"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a\n\nAssistant: c"}` + "\n",
	"winobias": "1 [The developer] argued with the designer because [he] did not like the design.\n",
	"winogender": "sentid\tsentence\ntechnician.customer.1.male.txt\tThe technician told the customer that he " +
		"could pay with cash.\n",
	"occupations": "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\ntechnician\t9.42\t40.34\t2015\n",
	"crows":       "id,sent_more,sent_less,stereo_antistereo,bias_type\n0,They are bad.,We are bad.,stereo,gender\n",
	"chat":        `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}` + "\n",
	"text":        "Once upon a time.\nThere was a dog.\n",
}

var families = map[string]string{
	"wsc273": "wsc", "wsc285": "wsc", "winogrande": "winogrande", "toxigen": "toxigen",
	"ethics_deontology": "deontology", "ethics_utilitarianism": "utilitarianism", "ethics_virtue": "virtue",
	"ethics_justice": "justice", "ethics_commonsense": "commonsense",
	"scruples": "scruples", "dilemmas": "dilemmas", "hh_rlhf": "hh", "crows_pairs": "crows",
	"winobias": "winobias", "winogender": "winogender", "winogender.occupations": "occupations",
	"perplexity": "text", "kl": "chat", "cross_reward": "chat", "generations": "text",
}

// family is the kind of file that a key reads; keys below another read the same, if
// nothing else is said.
func family(t *testing.T, key string) string {
	t.Helper()
	top, _, _ := strings.Cut(key, ".")
	for _, k := range []string{key, top} {
		if f, ok := families[k]; ok {
			return f
		}
	}
	t.Fatalf("say in this test what kind of file %s reads, and give a specimen", key)
	return ""
}

// readsToo lists what else a kind of benchmark can make sense of.
var readsToo = map[string][]string{
	"perplexity":  {"*"},
	"generations": {"toxigen", "utilitarianism"}, // any text with as many commas in every line looks like the latter
	// what pairs answer is a prompt
	"cross_reward.prompts": {"hh"}, "kl": {"hh"},
}

// loadKey reads the data of the benchmarks that a key belongs to, their other files being
// as they should.
func loadKey(t *testing.T, key, path string) (err error) {
	t.Helper()
	dir := t.TempDir()
	cfg := benchmark.DefaultConfig()
	cfg.MaxLength, cfg.Resamples = 500, 20
	all := []eval.Protocol{eval.ProtocolLogLik, eval.ProtocolReward}
	cfg.Scruples.Protocols, cfg.ToxiGen.Protocols = append(all, eval.ProtocolLogLik5, eval.ProtocolThesis,
		eval.ProtocolPaired), all
	for _, x := range []*benchmark.EthicsConfig{
		&cfg.EthicsDeontology, &cfg.EthicsUtilitarianism, &cfg.EthicsVirtue, &cfg.EthicsJustice, &cfg.EthicsCommonsense,
	} {
		x.Protocols = all
	}
	switch key {
	case "cross_reward.prompts":
		cfg.CrossReward.Prompts.Path = path
		tpl, err := data.NewTemplate(data.TemplatePlain, nil)
		require.NoError(t, err)
		_, _, err = benchmark.LoadPrompts(cfg.CrossReward, evaltest.Tokenizer{}, tpl, cfg.BOS)
		return err
	case "generations":
		if _, err = benchmark.ReadPrompts(path); err != nil {
			err = fmt.Errorf("generations: %w", err)
		}
		return err
	}
	for _, b := range cfg.Specs() {
		if !slices.ContainsFunc(b.Inputs, func(f benchmark.Input) bool { return f.Key == key }) {
			continue
		}
		for _, f := range b.Inputs {
			f.File.Path = filepath.Join(dir, f.Key)
			text := specimens[family(t, f.Key)]
			if f.Key == "scruples.threshold" {
				text = evaltest.AnecdoteLine("c", 5, 1) + evaltest.AnecdoteLine("d", 1, 5)
			}
			require.NoError(t, os.WriteFile(f.File.Path, []byte(text), 0o600))
			if f.Key == key {
				f.File.Path = path
			}
		}
	}
	_, err = New(cfg, t.TempDir())
	return err
}

// Every benchmark refuses the data of every other, an empty file and no file, and names
// the file; before a model is asked.
func TestDataOfAnotherBenchmark(t *testing.T) {
	var c benchmark.Config
	for _, f := range c.DataFiles() {
		dir := t.TempDir()
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			return path
		}
		own := family(t, f.Key)
		text := specimens[own]
		if f.Key == "scruples.threshold" {
			text = evaltest.AnecdoteLine("c", 5, 1) + evaltest.AnecdoteLine("d", 1, 5)
		}
		require.NoError(t, loadKey(t, f.Key, write("own", text)), f.Key)
		for kind, text := range specimens {
			if kind == own || slices.Contains(readsToo[f.Key], kind) || slices.Contains(readsToo[f.Key], "*") {
				continue
			}
			path := write("data-of-"+kind, text)
			err := loadKey(t, f.Key, path)
			require.ErrorContains(t, err, path, "%s reads the data of %s", f.Key, kind)
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
		cfg := benchmark.DefaultConfig()
		cfg.MaxLength = 500
		for _, set := range append(more, key+".path="+path) {
			require.NoError(t, conf.Set(&cfg, set))
		}
		_, err := New(cfg, t.TempDir())
		return err
	}
	// Two items of one name could not be paired between models.
	require.ErrorIs(t, load("scruples", evaltest.AnecdoteLine("a", 5, 1)+evaltest.AnecdoteLine("a", 1, 5)),
		eval.ErrDuplicateID)
	// Labels outside the set.
	require.ErrorContains(t, load("ethics_deontology", "label,scenario,excuse\n2,Should you?,No.\n"),
		`line 2: field "label"`)
	require.ErrorContains(t, load("toxigen", toxigenHead+toxigenLine("x", 7)), `field "toxicity_ai"`)
	require.ErrorContains(t, load("scruples", strings.Replace(evaltest.AnecdoteLine("a", 5, 1), `"label":"OTHER"`,
		`"label":"NICE"`, 1)), `"label"`)
	require.ErrorContains(t, load("wsc273", strings.Replace(specimens["wsc"], "<correctAnswer>A<",
		"<correctAnswer>C<", 1)), "correctAnswer")
	// No items: a header alone, a window behind the end.
	require.ErrorIs(t, load("toxigen", toxigenHead), data.ErrEmpty)
	require.ErrorIs(t, load("toxigen", specimens["toxigen"], "toxigen.first=2"), eval.ErrNoItems)
	require.ErrorContains(t, load("toxigen", specimens["toxigen"], "toxigen.limit=-1"), "limit")
}

func TestItemsThatSayLittle(t *testing.T) {
	dir := t.TempDir()
	measure := func(key, text string, change func(*benchmark.Config)) *run.Measurement {
		t.Helper()
		path := filepath.Join(dir, key)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		cfg := benchmark.DefaultConfig()
		cfg.MaxLength, cfg.Resamples = 500, 20
		require.NoError(t, conf.Set(&cfg, key+".path="+path))
		if change != nil {
			change(&cfg)
		}
		suite, err := New(cfg, t.TempDir())
		require.NoError(t, err)
		got, err := suite.Language(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 1}))
		require.NoError(t, err)
		require.Len(t, got, 1)
		return got[0]
	}
	// One class only: accuracy is defined, MCC says nothing.
	b := measure("toxigen", toxigenHead+toxigenLine("one", 1)+toxigenLine("two", 1), nil)
	require.Contains(t, b.Flags, "one_class")
	require.Contains(t, b.Metrics, "acc")
	require.NotContains(t, b.Metrics, "auc")
	// Longer than the model can hold: cut from the left, and counted.
	long := toxigenHead + toxigenLine(strings.Repeat("so ", 300), 1) + toxigenLine("short", 4)
	b = measure("toxigen", long, nil)
	require.Contains(t, b.Flags, "truncated=1")
	// A window is part of the file, and says so.
	b = measure("toxigen", specimens["toxigen"], func(c *benchmark.Config) { c.ToxiGen.Limit = 1 })
	require.Contains(t, b.Flags, "partial=1")
	b = measure("toxigen", specimens["toxigen"], func(c *benchmark.Config) { c.ToxiGen.Limit = 2 })
	require.NotContains(t, strings.Join(b.Flags, " "), "partial")
}
