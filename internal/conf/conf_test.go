package conf

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"steer/internal/bytesize"
)

type shape string

func (shape) Values() []string { return []string{"constant", "linear", "cosine"} }

// Course is exported: an inlined type must be.
type Course struct {
	Kind   shape `yaml:"schedule"`
	Warmup int64 `yaml:"warmup_steps"`
}

type config struct {
	Name    string            `yaml:"name"`
	Optim   optimConf         `yaml:"optim"`
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
	Stages  []stage           `yaml:"stages"`
	Every   time.Duration     `yaml:"every"`
	Memory  bytesize.Size     `yaml:"memory"`
	Pack    bool              `yaml:"pack"`
	Seed    uint64            `yaml:"seed"`
	Small   int32             `yaml:"small"`
	Limit   *int              `yaml:"limit"`
	Hidden  int               `yaml:"-"`
}

type optimConf struct {
	LR     float64 `yaml:"lr"`
	Course `yaml:",inline"`
}

type stage struct {
	Use string `yaml:"use"`
}

func preset() config {
	return config{
		Name: "p", Optim: optimConf{LR: 2e-4, Course: Course{Kind: "cosine", Warmup: 100}},
		Targets: []string{"attn_q"}, Labels: map[string]string{"a": "1"}, Every: time.Minute, Memory: 16e9, Seed: 7,
	}
}

func TestParseKeepsWhatIsAbsent(t *testing.T) {
	c := preset()
	require.NoError(t, Parse("x.yaml", []byte(`
optim: {lr: 1e-5, warmup_steps: 1_000}
targets: [attn_q, attn_v]
labels: {b: "2"}
every: 1h30m
memory: 24GB
pack: true
limit: 3
name: 13
`), &c))
	require.Equal(t, "13", c.Name)
	require.Equal(t, optimConf{LR: 1e-5, Course: Course{Kind: "cosine", Warmup: 1000}}, c.Optim)
	require.Equal(t, []string{"attn_q", "attn_v"}, c.Targets)
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, c.Labels)
	require.Equal(t, 90*time.Minute, c.Every)
	require.Equal(t, bytesize.Size(24e9), c.Memory)
	require.True(t, c.Pack)
	require.Equal(t, 3, *c.Limit)
	require.Equal(t, uint64(7), c.Seed)

	before := c
	require.NoError(t, Parse("empty.yaml", []byte("# nothing\n"), &c))
	require.Equal(t, before, c)
}

func TestMistakesNameFileLineKeyAndRemedy(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"optim:\n  learning_rte: 1\n",
			`x.yaml:2: optim.learning_rte: unknown key: known here: lr, schedule, warmup_steps`},
		{"optim:\n  warm_steps: 1\n", `x.yaml:2: optim.warm_steps: unknown key: did you mean "warmup_steps"?`},
		{"targts: []\n", `x.yaml:1: targts: unknown key: did you mean "targets"?`},
		{"lr: 1\n", `x.yaml:1: lr: unknown key: did you mean "optim.lr"?`},
		{"epsd: 1\nsede: 1\n", `sede: unknown key: did you mean "seed"?`},
		{"hidden: 1\n", `x.yaml:1: hidden: unknown key`},
		{"optim:\n  schedule: cosin\n",
			`x.yaml:2: optim.schedule: want one of constant, linear, cosine, got "cosin": did you mean "cosine"?`},
		{"optim:\n  schedule: quadratic\n", `want one of constant, linear, cosine, got "quadratic"`},
		{"optim:\n  schedule:\n", `want one of constant, linear, cosine, got nothing`},
		{"seed: 1\nseed: 2\n", `x.yaml:2: seed: key given twice, first on line 1`},
		{"seed: -1\n", `x.yaml:1: seed: want a whole number, 0 or more, got "-1"`},
		{"small: 3000000000\n", `small: want a whole number of 32 bits, got "3000000000"`},
		{"small: 1.5\n", `small: want a whole number of 32 bits, got "1.5"`},
		{"optim:\n  lr: fast\n", `x.yaml:2: optim.lr: want a finite number, got "fast"`},
		{"optim:\n  lr: .nan\n", `optim.lr: want a finite number, got ".nan"`},
		{"optim:\n  lr: [1]\n", `optim.lr: want a finite number, got a list`},
		{"optim: 3\n", `x.yaml:1: optim: want a mapping of keys to values, got "3"`},
		{"pack: yes please\n", `pack: want true or false, got "yes please"`},
		{"targets: attn_q\n", `targets: want a list, got "attn_q"`},
		{"targets: [a, {b: 1}]\n", `targets[1]: want a text`},
		{"stages:\n- use: a\n- us: b\n", `x.yaml:3: stages[1].us: unknown key: did you mean "use"?`},
		{"every: 90\n", `every: want a duration such as "90s" or "1h30m", got "90"`},
		{"memory: lots\n", `memory: want a size such as "24GB" or "512MiB", got "lots"`},
		{"name:\n", `name: want a text (write "" for an empty one), got nothing`},
		{"optim: {<<: {lr: 1}}\n", `merge keys`},
		{"seed: 1\n---\nseed: 2\n", `a second YAML document`},
		{"a: [\n", `x.yaml:1: not YAML`},
		{"labels: 1\n", `labels: want a mapping of names to values, got "1"`},
	} {
		cfg := preset()
		err := Parse("x.yaml", []byte(c.yaml), &cfg)
		require.ErrorContains(t, err, c.want, c.yaml)
	}
}

func TestAllMistakesAreReportedTogether(t *testing.T) {
	cfg := preset()
	err := Parse("x.yaml", []byte("sed: 1\npack: 2\n"), &cfg)
	require.ErrorContains(t, err, "sed: unknown key")
	require.ErrorContains(t, err, "pack: want true or false")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 1, e.Line)
}

func TestParseDoesNotWriteIntoThePresetsMap(t *testing.T) {
	shared := map[string]string{"a": "1"}
	c := config{Labels: shared}
	require.NoError(t, Set(&c, "labels.a=2"))
	require.Equal(t, "2", c.Labels["a"])
	require.Equal(t, "1", shared["a"])
}

func TestSet(t *testing.T) {
	c := preset()
	require.NoError(t, Set(&c, "optim.lr=1e-3"))
	require.NoError(t, Set(&c, "targets=[a, b]"))
	require.NoError(t, Set(&c, "name="))
	require.Equal(t, 1e-3, c.Optim.LR)
	require.Equal(t, Course{Kind: "cosine", Warmup: 100}, c.Optim.Course)
	require.Equal(t, []string{"a", "b"}, c.Targets)
	require.Empty(t, c.Name)
	require.EqualError(t, Set(&c, "optim.lrr=1"), `optim.lrr: unknown key: did you mean "lr"?`)
	require.EqualError(t, Set(&c, "optim"), `override "optim": want key=value`)
	require.ErrorContains(t, Set(&c, "optim.lr=[1"), "optim.lr: value")
	require.ErrorContains(t, Set(&c, "seed.x=1"), `seed: want a whole number, 0 or more, got a mapping`)
}

func TestMarshalRoundTrip(t *testing.T) {
	limit := 4
	c := preset()
	c.Limit, c.Optim.LR, c.Memory = &limit, 1.41e-5, 3<<30
	data, err := Marshal(c)
	require.NoError(t, err)
	require.Contains(t, string(data), "memory: 3GiB\n")
	require.Contains(t, string(data), "every: 1m0s\n")
	var back config
	require.NoError(t, Parse("out.yaml", data, &back), string(data))
	back.Stages = c.Stages // [] and nil are one in YAML
	require.Equal(t, c, back)
}

func TestLookup(t *testing.T) {
	v, ok, err := Lookup("x", []byte("sft:\n  preset: thesis\n"), "sft.preset")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "thesis", v)
	_, ok, err = Lookup("x", []byte("sft: 1\n"), "sft.preset")
	require.NoError(t, err)
	require.False(t, ok)
	_, _, err = Lookup("x", []byte("sft:\n  preset: [a]\n"), "sft.preset")
	require.ErrorContains(t, err, "sft.preset: want a single value, got a list")
}

func TestList(t *testing.T) {
	got, err := List([]byte("a: {b: [x, 1]}\nc: 2\n"), "a.b")
	require.NoError(t, err)
	require.Equal(t, []string{"x", "1"}, got)
	for _, key := range []string{"a", "a.c", "c", "d.e"} {
		_, err = List([]byte("a: {b: [x]}\nc: 2\n"), key)
		require.ErrorContains(t, err, key+": want a list")
	}
	_, err = List(nil, "a")
	require.ErrorContains(t, err, "want a list")
}

func TestDiff(t *testing.T) {
	changes, err := Diff([]byte("a: 1\nb: {c: [x, y], d: 2}\n"), []byte("a: 1\nb: {c: [x, z], e: ''}\n"))
	require.NoError(t, err)
	require.Equal(t, []Change{{"b.c[1]", "y", "z"}, {"b.d", "2", ""}, {"b.e", "", `""`}}, changes)
	require.Equal(t, "b.d: 2 -> (absent)", changes[1].String())
}

func TestHostileAliases(t *testing.T) {
	var c struct {
		A [][][]int `yaml:"a"`
	}
	require.Error(t, Parse("x", []byte("a: &a [*a]\n"), &c))
	_, err := Diff([]byte("a: &a [*a]\n"), []byte("a: 1"))
	require.NoError(t, err)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("optim: {lr: 1}\nstages: [{use: a}]\n"))
	f.Add([]byte("a: &a [*a]\nlabels: {a: b}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := preset()
		if Parse("x", data, &c) != nil {
			return
		}
		out, err := Marshal(c)
		require.NoError(t, err)
		var back config
		require.NoError(t, Parse("y", out, &back), string(out))
	})
}

func TestNodeTakesAnything(t *testing.T) {
	var into struct {
		A yaml.Node `yaml:"a"`
		B yaml.Node `yaml:"b"`
	}
	require.NoError(t, Parse("f.yaml", []byte("a: [1, x]\nb: !function f.g\n"), &into))
	require.Equal(t, yaml.SequenceNode, into.A.Kind)
	require.Equal(t, "!function", into.B.Tag)
	require.Equal(t, 2, into.B.Line)
}

// shortFile may be written as its path alone.
type shortFile struct {
	Path  string `yaml:"path"`
	Limit int    `yaml:"limit"`
}

func (f *shortFile) UnmarshalText(text []byte) error {
	f.Path = string(text)
	return nil
}

func TestStructsWrittenShort(t *testing.T) {
	var into struct {
		Files []shortFile `yaml:"files"`
	}
	require.NoError(t, Parse("f.yaml", []byte("files: [a.yaml, {path: b.yaml, limit: 3}]\n"), &into))
	require.Equal(t, []shortFile{{"a.yaml", 0}, {"b.yaml", 3}}, into.Files)
	require.NoError(t, Set(&into, "files=[c.yaml]"))
	require.Equal(t, []shortFile{{"c.yaml", 0}}, into.Files)
	require.ErrorContains(t, Parse("f.yaml", []byte("files: [{pth: b}]\n"), &into),
		`files[0].pth: unknown key: did you mean "path"?`)
	require.ErrorContains(t, Parse("f.yaml", []byte("files: [[a]]\n"), &into),
		"files[0]: want a single value, got a list")
}

func TestWithout(t *testing.T) {
	got, err := Without([]byte("a: 1\nb:\n  c: 2\n  d:\n    e: 3\nf: [1, 2]\ng: {}\n"),
		[]string{"a", "b.d.e", "f", "nowhere.at.all"})
	require.NoError(t, err)
	require.Equal(t, "b:\n  c: 2\ng: {}\n", string(got))
	_, err = Without([]byte("a: [1"), nil)
	require.ErrorContains(t, err, "not YAML")
}
