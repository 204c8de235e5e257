package conf

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Base is exported: an inlined type must be.
type Base = config

type overridden struct {
	Base   `yaml:",inline"`
	Shape  shape     `yaml:"shape"`
	System *string   `yaml:"system"`
	File   shortFile `yaml:"file"`
	Share  float64   `yaml:"share"`
}

// What YAML would read as a comment, a mapping, an alias, a number or nothing is a text where
// the key holds one.
func TestSetTakesTextsWhole(t *testing.T) {
	for _, text := range []string{
		"Answer briefly # and be nice", "#", "# all of it", "Rule: be nice", "a: b: c", "@me", "`x`", "*bold*", "&and",
		"!now", "%x", "|", ">", "- one",
		"? why", "[a", "{a: b}", "null", "~", "Null", "true", "013", "1e3", "0x10", "1_000", "2026-01-01", `"half`,
		`'half`, `say "yes" or "no"`,
		`"one" and "two"`, `'one' 'two'`, `"quoted" # and more "`, `it''s`, " around ", "two\nlines", "\ttab", "---",
		"...", "a\\nb", "key=value", "", "ümläut…",
	} {
		var c overridden
		require.NoError(t, Set(&c, "name="+text), "%q", text)
		require.Equal(t, text, c.Name)
		require.NoError(t, Set(&c, "labels.x="+text), "%q", text)
		require.Equal(t, text, c.Labels["x"])
		if text != "null" && text != "~" && text != "Null" {
			require.NoError(t, Set(&c, "system="+text), "%q", text)
			require.Equal(t, text, *c.System)
		}
	}
}

// A value that is one quoted text as a whole says what stands between the quotes: that is how a
// line break, or quotes around everything, are written.
func TestSetReadsAQuotedText(t *testing.T) {
	for text, want := range map[string]string{
		`"a\nb"`: "a\nb", `'it''s'`: "it's", `"\"all\""`: `"all"`, `""`: "", `"null"`: "null", `" around "`: " around ",
		`"# x"`: "# x",
	} {
		var c overridden
		require.NoError(t, Set(&c, "name="+text), text)
		require.Equal(t, want, c.Name)
		require.NoError(t, Set(&c, "system="+text), text)
		require.Equal(t, want, *c.System)
	}
}

func TestSetOfKeysThatMayBeAbsent(t *testing.T) {
	text := "x"
	for _, nothing := range []string{"null", "Null", "~"} {
		c := overridden{System: &text}
		require.NoError(t, Set(&c, "system="+nothing))
		require.Nil(t, c.System)
	}
	c := overridden{System: &text}
	require.NoError(t, Set(&c, "system="))
	require.Empty(t, *c.System, "an empty text is a text")
}

// Names and short forms are texts too; a mapping of a short form's keys is one.
func TestSetOfNamesAndShortForms(t *testing.T) {
	var c overridden
	require.EqualError(t, Set(&c, "shape=linear # c"), `shape: want one of constant, linear, cosine, got "linear # c"`)
	require.NoError(t, Set(&c, "shape=linear"))
	require.NoError(t, Set(&c, "file=data #1: b.csv"))
	require.Equal(t, "data #1: b.csv", c.File.Path)
	require.NoError(t, Set(&c, "file={path: c.csv}"))
	require.Equal(t, "c.csv", c.File.Path)
	require.ErrorContains(t, Set(&c, "memory=16GB # c"),
		`memory: want a size such as "24GB" or "512MiB", got "16GB # c"`)
}

// What is no text is YAML, of which nothing is dropped in silence.
func TestSetRefusesCommentsElsewhere(t *testing.T) {
	var c overridden
	for _, o := range []string{"seed=3 # c", "share=0.5 # half", "pack=true # c", "targets=[a, b] # c", "targets=[a] #",
		"limit=3 # c"} {
		require.ErrorContains(t, Set(&c, o), "would be a comment", o)
	}
	require.EqualError(t, Set(&c, "seed=# c"), `seed: want a whole number, 0 or more, got "# c"`)
	require.EqualError(t, Set(&c, "seed="), `seed: want a whole number, 0 or more, got ""`)
	require.NoError(t, Set(&c, `targets=["a # b", 'c#d']`))
	require.Equal(t, []string{"a # b", "c#d"}, c.Targets)
	require.NoError(t, Set(&c, "seed = 3"))
	require.EqualValues(t, 3, c.Seed)
	require.NoError(t, Set(&c, "name = spaced"))
	require.Equal(t, "spaced", c.Name, "blanks around = are those of the equals sign")
}

func TestSetListTakesItemsWhole(t *testing.T) {
	var c overridden
	items := []string{"a, b", "c]", "# d", "null", "", `"q"`, "x: y"}
	require.NoError(t, SetList(&c, "targets", items))
	require.Equal(t, items, c.Targets)
	require.EqualError(t, SetList(&c, "target", items), `target: unknown key: did you mean "targets"?`)
}

func TestOverridesAreFoundByKey(t *testing.T) {
	over := []string{"a=1", "b.c = x # y", `d="full"`, "a=2"}
	for key, want := range map[string]string{"a": "2", "b.c": "x # y", "d": "full"} {
		got, ok := Overridden(over, key)
		require.True(t, ok, key)
		require.Equal(t, want, got)
	}
	_, ok := Overridden(over, "b")
	require.False(t, ok)
}

func TestKeys(t *testing.T) {
	names := map[string][]string{}
	for _, k := range Keys(&overridden{}) {
		names[k.Name] = k.Values
	}
	require.Equal(t, map[string][]string{
		"name": nil, "optim.lr": nil, "optim.schedule": shape("").Values(), "optim.warmup_steps": nil, "targets": nil,
		"stages": nil, "every": nil,
		"memory": nil, "pack": {"true", "false"}, "seed": nil, "small": nil, "limit": nil, "shape": shape("").Values(),
		"system": nil, "file": nil, "share": nil,
	}, names)
}
