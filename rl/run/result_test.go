package run

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The specimens are results that steer 0.1.0 wrote, shortened: read and written again they are
// the same to the byte, so that no field is lost, added or changed.
func TestResultsAreWrittenAsTheyWere(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.Len(t, paths, 7)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		r, err := ParseResult(path, text)
		require.NoError(t, err)
		require.NoError(t, r.Check(), path)
		again, err := encodeResult(r)
		require.NoError(t, err)
		require.Equal(t, string(text), string(again), path)
	}
}

// So are the outcomes of single measurements, whose fingerprints are YAML in the file.
func TestMeasurementsAreWrittenAsTheyWere(t *testing.T) {
	paths, err := filepath.Glob("testdata/items/*.json")
	require.NoError(t, err)
	require.Len(t, paths, 3)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		m, err := ParseOutcome(text)
		require.NoError(t, err, path)
		require.NoError(t, m.Check(), path)
		require.Equal(t, "0.1.0", m.Fingerprint.Program)
		require.NotEmpty(t, m.Fingerprint.Models)
		require.NotEmpty(t, m.Fingerprint.Settings)
		dir := t.TempDir()
		records := filepath.Join(dir, "x"+RecordsSuffix)
		written, err := m.Write(records)
		require.NoError(t, err)
		require.Equal(t, m, written)
		again, err := os.ReadFile(OutcomeFile(records))
		require.NoError(t, err)
		require.Equal(t, string(text), string(again), path)
		back, err := ReadOutcome(records)
		require.NoError(t, err)
		require.True(t, back.Fingerprint.Equal(m.Fingerprint))
	}
}

func TestFingerprints(t *testing.T) {
	a := Fingerprint{
		Program: "1", Models: []string{"base"}, Data: map[string]string{"x": "ab"},
		Options: map[string]any{"x": map[string]any{"limit": 5}}, Settings: map[string]any{"seed": uint64(1<<53 + 1)},
	}
	b := a
	b.Models = []string{"sft"}
	require.False(t, a.Equal(b))
	require.Equal(t, "models[0]: base -> sft", a.Difference(b))
	require.True(t, a.WithoutModels().Equal(b.WithoutModels()))
	b.Program = "2"
	require.Equal(t, "program: 1 -> 2, and 1 more", a.Difference(b))
	var back Fingerprint
	require.NoError(t, back.UnmarshalText([]byte(a.String())))
	require.True(t, a.Equal(back))
	require.Contains(t, back.String(), "seed: 9007199254740993")
	require.Error(t, back.UnmarshalText([]byte("a: [")))
}

// Another version is told by file, version found and version wanted.
func TestAnotherVersionIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"stage": "sft", "version": 2}`: `x/result.json: field "version": want 1, got 2: ` +
			`use the steer that wrote it, or run the stage again: result of another version`,
		`{"stage": "sft"}`: `x/result.json: field "version" is missing: want 1 (was this file written by steer?): ` +
			`result of another version`,
	} {
		_, err := ParseResult("x/result.json", []byte(text))
		require.ErrorIs(t, err, ErrVersion)
		require.EqualError(t, err, want)
	}
	_, err := ParseResult("x/result.json", []byte(`{"stage": "tea", "version": 1}`))
	require.ErrorContains(t, err, `want sft, reward, ppo, grpo, dpo, judge or eval, got "tea"`)
	_, err = ParseResult("x/result.json", []byte(`[]`))
	require.ErrorContains(t, err, "not a JSON object")
	_, err = ParseOutcome([]byte(`{"version": 3}`))
	require.ErrorIs(t, err, ErrVersion)
	require.ErrorContains(t, err, "of version 3, not 1")
}

func TestBareNumbersAreIntervals(t *testing.T) {
	r := &Reward{}
	require.NoError(t, json.Unmarshal([]byte(`{"accuracy": 0.8}`), r))
	require.Equal(t, &Accuracy{Interval: Interval{Mean: 0.8}}, r.Accuracy)
	require.False(t, r.Accuracy.Known())
	require.NoError(t, json.Unmarshal([]byte(`{"accuracy": {"mean": 0.8, "lo": 0.7, "hi": 0.9, "ties": 3}}`), r))
	require.Equal(t, &Accuracy{Interval: NewInterval(0.8, 0.7, 0.9, 0), Ties: 3}, r.Accuracy)
	require.Error(t, json.Unmarshal([]byte(`{"accuracy": "good"}`), r))
}

// What the head of an adapter holds in 32 bits is written with the digits of 32 bits.
func TestNormalisationIsWrittenShort(t *testing.T) {
	raw, err := json.Marshal(RewardNormalisation{Normalisation: NewNormalisation(0.15098837, 1e-9), References: 2})
	require.NoError(t, err)
	require.JSONEq(t, `{"mean": 0.15098837, "std": 1e-9, "references": 2, "source": ""}`, string(raw))
}

func TestProvenance(t *testing.T) {
	text := `{"bos":"auto","confidence":0.95,"first":0,"items":"items/x","limit":0,"margin":0.05,"resamples":50,` +
		`"seed":9007199254740993,"until":["\n","Q:"]}`
	var p Provenance
	require.NoError(t, json.Unmarshal([]byte(text), &p))
	require.Equal(t, uint64(1<<53+1), *p.Seed)
	require.Equal(t, 50, *p.Resamples)
	require.Equal(t, "items/x", p.Items)
	require.Equal(t, "auto", p.Facts["bos"].String())
	require.Equal(t, "[\n Q:]", p.Facts["until"].String())
	raw, err := json.Marshal(p)
	require.NoError(t, err)
	require.Equal(t, text, string(raw))
	require.Equal(t, "9007199254740993", p.All()["seed"].String())

	// What a field cannot hold is kept as it was written.
	require.NoError(t, json.Unmarshal([]byte(`{"seed": -3.5, "items": 7}`), &p))
	require.Nil(t, p.Seed)
	require.Len(t, p.All(), 2)
	require.Equal(t, "-3.5", fmt.Sprint(p.Facts["seed"]))

	var b Measurement
	raw, err = json.Marshal(b)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "provenance")
	b.Provenance.Set("chat", true)
	raw, err = json.Marshal(b)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(raw), `"provenance":{"chat":true}}`), string(raw))
}

func TestExperimentHead(t *testing.T) {
	for text, want := range map[string]ExperimentHead{
		"name: a\ntheories: [x, y]\nmore: {b: 1}\n": {Name: "a", Theories: []string{"x", "y"}},
		"name: [a]\ntheories: 3\n":                  {},
		"theories: []\n":                            {Theories: []string{}, NoTheories: true},
	} {
		got, err := ParseExperimentHead([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
	_, err := ParseExperimentHead([]byte("a: ["))
	require.Error(t, err)
}
