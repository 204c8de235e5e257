package suite

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/filehash"
)

// Whatever two models, benchmarks or protocols are called, they have files of their own, also
// where a file system knows no difference of case, and names that fit.
func TestDifferentNamesHaveDifferentFiles(t *testing.T) {
	names := []string{"a b", "a_b", "a.b", "a%20b", "A_b", "a_B", "A_B", "ä_b", "a\u0308_b", "a/b", "a\\b", "a~b",
		" a_b", "a_b ", "a\tb", "", "..", ".", "con",
		strings.Repeat("x", 40), strings.Repeat("x", 41), strings.Repeat("x", 300), strings.Repeat("x", 299) + "y",
		strings.Repeat("Ü", 300)}
	seen := map[string][]string{}
	take := func(parts ...string) {
		file := recordFile(parts...)
		require.True(t, filepath.IsLocal(file))
		require.LessOrEqual(t, len(filepath.Base(file))+len(".")+len(".tmp-01234567"), 255)
		folded := strings.ToLower(file)
		require.NotContains(t, seen, folded, "%q and %q", seen[folded], parts)
		seen[folded] = parts
	}
	for _, n := range names {
		take("toxigen", "loglik", n)
		take("generations", n, "sft") // the protocol is a judge's name there
	}
	take("generations", "a", "b.c")
	take("generations", "a.b", "c")
	long := strings.Repeat("Long", 100)
	take(long, long, long)
	require.Equal(t, filepath.Join("items", "scruples.loglik-5.deontology-2.jsonl.zst"), recordFile("scruples",
		"loglik-5", "deontology-2"), "plain names stay")
}

// Two models whose names differ in a character that no file name has: each is measured, found
// again by its own name, and their records are named in the result.
func TestModelsOfLikeNamesDoNotShareRecords(t *testing.T) {
	s := newStudy(t)
	s.rename = map[string]string{"sft": "a b", "base": "a_b"}
	s.cfg.KL.Path, s.cfg.KL.Reference, s.cfg.CrossReward.Reference, s.cfg.Generations.Reference = "", "a b", "a b", "a b"
	want, _, err := s.run("a", 0)
	require.NoError(t, err)
	var result struct {
		Benchmarks []struct {
			Benchmark, Protocol, Model string
			Provenance                 map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(want), &result))
	files := map[string]bool{}
	for _, b := range result.Benchmarks {
		name := b.Provenance["items"].(string)
		require.False(t, files[name], "%s is named twice", name)
		files[name] = true
		sum, err := filehash.Sum(filepath.Join(s.dir, "a", name))
		require.NoError(t, err)
		require.Equal(t, sum, b.Provenance["items_sha256"])
	}
	got, calls, err := s.run("a", 0)
	require.NoError(t, err)
	require.Zero(t, calls)
	require.Equal(t, want, got)
}

// What a former version left under a name that could be shared is not taken for another model's,
// and does not stay beside the new files.
func TestFilesOfFormerNamesAreMeasuredAgainAloud(t *testing.T) {
	s := newStudy(t)
	s.rename = map[string]string{"sft": "a b"}
	s.cfg.KL.Path, s.cfg.KL.Reference, s.cfg.CrossReward.Reference, s.cfg.Generations.Reference = "", "a b", "a b", "a b"
	want, _, err := s.run("a", 0)
	require.NoError(t, err)
	items := func(name string) string { return filepath.Join(s.dir, "a", name) }
	now, former := recordFile("scruples", "loglik", "a b"), formerRecordFile("scruples", "loglik", "a b")
	for _, of := range []func(string) string{outcomeFile, func(p string) string { return p }} {
		require.NoError(t, os.Rename(of(items(now)), of(items(former))))
	}
	got, calls, err := s.run("a", 0)
	require.NoError(t, err)
	require.Positive(t, calls)
	require.Equal(t, want, got)
	require.Contains(t, strings.Join(s.notes, "\n"),
		"scruples loglik a b: measured again, since a former version named its files")
	require.NoFileExists(t, items(former))
	require.NoFileExists(t, outcomeFile(items(former)))

	// The files of a model that is now another's by name.
	s.rename = map[string]string{"sft": "a_b"}
	s.cfg.CrossReward.Reference, s.cfg.Generations.Reference = "a_b", "a_b"
	want, _, err = s.run("b", 0)
	require.NoError(t, err)
	at := filepath.Join(s.dir, "b", recordFile("scruples", "loglik", "a_b"))
	raw, err := os.ReadFile(outcomeFile(at))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(outcomeFile(at), []byte(strings.Replace(string(raw), `"model": "a_b"`,
		`"model": "a b"`, 1)), 0o600))
	got, _, err = s.run("b", 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, []string{"scruples loglik a_b: measured again, since its files hold scruples loglik a b, by a former version"}, s.notes)
}
