package suite

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/filehash"
	"steer/rl/run"
)

// Two models whose names differ in a character that no file name has: each is measured, found
// again by its own name, and their records are named in the result.
func TestModelsOfLikeNamesDoNotShareRecords(t *testing.T) {
	s := newStudy(t)
	s.rename = map[string]string{"sft": "a b", "base": "a_b"}
	s.refer("a b")
	want, _, err := s.run("a", 0)
	require.NoError(t, err)
	var result run.Evaluation
	require.NoError(t, json.Unmarshal([]byte(want), &result))
	files := map[string]bool{}
	for _, b := range result.Benchmarks {
		name := b.Provenance.Items
		require.False(t, files[name], "%s is named twice", name)
		files[name] = true
		sum, err := filehash.Sum(filepath.Join(s.dir, "a", name))
		require.NoError(t, err)
		require.Equal(t, sum, b.Provenance.ItemsSHA256)
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
	s.refer("a b")
	want, _, err := s.run("a", 0)
	require.NoError(t, err)
	items := func(name string) string { return filepath.Join(s.dir, "a", name) }
	now, former := run.RecordsFile("scruples", "loglik", "a b"), run.FormerRecordsFile("scruples", "loglik", "a b")
	for _, of := range []func(string) string{run.OutcomeFile, func(p string) string { return p }} {
		require.NoError(t, os.Rename(of(items(now)), of(items(former))))
	}
	got, calls, err := s.run("a", 0)
	require.NoError(t, err)
	require.Positive(t, calls)
	require.Equal(t, want, got)
	require.Contains(t, strings.Join(s.notes, "\n"),
		"scruples loglik a b: measured again, since a former version named its files")
	require.NoFileExists(t, items(former))
	require.NoFileExists(t, run.OutcomeFile(items(former)))

	// The files of a model that is now another's by name.
	s.rename = map[string]string{"sft": "a_b"}
	s.refer("a_b")
	want, _, err = s.run("b", 0)
	require.NoError(t, err)
	at := filepath.Join(s.dir, "b", run.RecordsFile("scruples", "loglik", "a_b"))
	raw, err := os.ReadFile(run.OutcomeFile(at))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(run.OutcomeFile(at), []byte(strings.Replace(string(raw), `"model": "a_b"`,
		`"model": "a b"`, 1)), 0o600))
	got, _, err = s.run("b", 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, []string{"scruples loglik a_b: measured again, since its files hold scruples loglik a b, by " +
		"a former version"}, s.notes)
}

// refer compares with a model of this name, but for the divergence, which is not measured.
func (s *study) refer(name string) {
	s.cfg.KL.Path = ""
	s.cfg.CrossReward.Reference, s.cfg.Generations.Reference = name, name
}
