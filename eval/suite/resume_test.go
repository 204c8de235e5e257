package suite

import (
	"context"
	"encoding/json"
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
)

// Broken off in the middle of any batch whatever and begun again, a suite ends in the
// bits of one that was not disturbed, and no batch but that one is computed twice.
func TestInterruptedAtEveryBatch(t *testing.T) {
	s := newStudy(t)
	want, total, err := s.run("whole", 0)
	require.NoError(t, err)
	items := s.items("whole")
	// 2 x (deontology, scruples twice), 2 x (scruples and deontology by reward), the matrix, kl, 2 x generations.
	require.Len(t, items, 2*(6+4+1+1+2))
	for name := range items {
		require.NotContains(t, name, ".part")
	}
	require.Greater(t, total, 25)
	for at := 1; at <= total; at += total / 6 {
		out := fmt.Sprintf("broken-%d", at)
		_, calls, err := s.run(out, at)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, at, calls)
		got, calls, err := s.run(out, 0)
		require.NoError(t, err)
		require.Equal(t, total-(at-1), calls, "batches before batch %d are not computed again", at)
		require.Equal(t, want, got)
		require.Equal(t, items, s.items(out))
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, out)))
	}

	// Broken off in the middle of every batch, one after another: each process keeps one.
	for n := 1; ; n++ {
		_, calls, err := s.run("often", 2)
		if err == nil {
			require.Equal(t, total, n)
			break
		}
		require.Equal(t, 2, calls)
	}
	got, calls, err := s.run("often", 0)
	require.NoError(t, err)
	require.Zero(t, calls)
	require.Equal(t, want, got)
	require.Equal(t, items, s.items("often"))
}

// Every benchmark has all its models before the next begins, so that what they share is still at
// hand; the result has every model's benchmarks together all the same.
func TestSuiteTakesBenchmarkAfterBenchmark(t *testing.T) {
	s := newStudy(t)
	result, _, err := s.run("whole", 0)
	require.NoError(t, err)
	var measured, benchmarks []string
	for _, p := range s.seen {
		if p.Benchmark == benchmark.NameGenerations || p.Benchmark == benchmark.NameCrossReward {
			continue
		}
		if kind := p.Benchmark + " " + p.Protocol; !slices.Contains(measured, kind+" "+p.Model) {
			measured = append(measured, kind+" "+p.Model)
			benchmarks = append(benchmarks, kind)
		}
	}
	once := slices.Compact(slices.Clone(benchmarks))
	slices.Sort(once)
	require.Len(t, slices.Compact(slices.Clone(once)), len(once), "a benchmark is left and comes again: %v", measured)
	require.Less(t, len(once), len(benchmarks))

	var got struct {
		Benchmarks []struct{ Benchmark, Model string }
	}
	require.NoError(t, json.Unmarshal([]byte(result), &got))
	var models []string
	for _, b := range got.Benchmarks {
		if b.Benchmark != benchmark.NameGenerations {
			models = append(models, b.Model)
		}
	}
	require.Equal(t, []string{"base", "sft", "counts", "noise"}, slices.Compact(models))
}

// parts names the journals in a folder.
func (s *study) parts(out string) []string {
	found, err := filepath.Glob(filepath.Join(s.dir, out, "items", "*.part"))
	require.NoError(s.t, err)
	return found
}

// A process that is killed while it writes leaves part of a line: that batch is lost,
// and no other.
func TestTornJournal(t *testing.T) {
	s := newStudy(t)
	want, total, err := s.run("whole", 0)
	require.NoError(t, err)
	at := total - 3 // in the matrix, which asks most
	_, _, err = s.run("torn", at)
	require.Error(t, err)
	parts := s.parts("torn")
	require.Len(t, parts, 1)
	raw, err := os.ReadFile(parts[0])
	require.NoError(t, err)
	finished := s.items("torn")
	lines := strings.Count(string(raw), "\n")
	require.Greater(t, lines, 2)
	for size := 0; size <= len(raw); size += max(1, len(raw)/7) {
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "torn")))
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "torn", "items"), 0o777))
		for name, text := range finished {
			require.NoError(t, os.WriteFile(filepath.Join(s.dir, "torn", "items", name), []byte(text), 0o600))
		}
		require.NoError(t, os.WriteFile(parts[0], raw[:size], 0o600))
		got, calls, err := s.run("torn", 0)
		require.NoError(t, err)
		require.Equal(t, want, got)
		left := max(strings.Count(string(raw[:size]), "\n"), 1)
		require.Equal(t, total-(at-1)+lines-left, calls, "%d of %d bytes", size, len(raw))
		for _, note := range s.notes {
			require.NotContains(t, note, "damaged")
		}
	}

	// Damage in the middle is another thing: it is said.
	require.NoError(t, os.Remove(filepath.Join(s.dir, "torn", "items",
		strings.TrimSuffix(filepath.Base(parts[0]), ".part")+".json")))
	broken := []byte(string(raw))
	second := strings.Index(string(raw), "\n") + 5
	broken[second] = 0
	require.NoError(t, os.WriteFile(parts[0], broken, 0o600))
	got, _, err := s.run("torn", 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, strings.Join(s.notes, "\n"), "are damaged: what they held is measured again")
}

// What was measured under other terms is not mixed in, and that is said with the reason.
func TestOtherFingerprintsAreMeasuredAgain(t *testing.T) {
	s := newStudy(t)
	_, total, err := s.run("a", 0)
	require.NoError(t, err)
	again := func() (calls int, notes string) {
		t.Helper()
		result, calls, err := s.run("a", 0)
		require.NoError(t, err)
		notes = strings.Join(s.notes, "\n")
		fresh, _, err := s.run("fresh", 0)
		require.NoError(t, err)
		require.Equal(t, fresh, result)
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "fresh")))
		return calls, notes
	}
	calls, notes := again()
	require.Zero(t, calls)
	require.Empty(t, notes)

	// Another policy: its own benchmarks and the matrix.
	s.ids["sft"] = ", trained further"
	calls, notes = again()
	require.Less(t, calls, total)
	require.Positive(t, calls)
	require.Contains(t, notes, "ethics-deontology.loglik.sft: measured again, since models[0]: weights of sft -> "+
		"weights of sft, trained further")
	require.NotContains(t, notes, "loglik.base")
	require.NotContains(t, notes, "scruples.reward")
	require.Contains(t, notes, "cross_reward.answers.all: measured again")
	// It is what the others are compared with.
	require.Contains(t, notes, "kl.text.base: measured again, since models[1]: reference weights of sft -> "+
		"reference weights of sft, trained further")
	require.Contains(t, notes, "generations.noise.base: measured again")

	// An option of one benchmark.
	s.cfg.EthicsDeontology.Limit = 4
	calls, notes = again()
	require.Positive(t, calls)
	require.Equal(t, 4, strings.Count(notes, "options.ethics_deontology.limit: 0 -> 4"), notes)
	require.Equal(t, 3, strings.Count(notes, "\n"), notes)

	// A setting of all; how batches are composed is none, and neither is another protocol.
	s.cfg.Resamples++
	_, notes = again()
	require.Equal(t, 12, strings.Count(notes, "\n"), notes) // of the continuations, the first
	require.Contains(t, notes, "settings.resamples: 5 -> 6")
	s.cfg.BatchTokens = 900
	s.cfg.Scruples.Protocols = []eval.Protocol{eval.ProtocolLogLik, eval.ProtocolReward}
	_, calls, err = s.run("a", 0)
	require.NoError(t, err)
	require.Zero(t, calls)
	require.Empty(t, s.notes)

	// The same path, another content.
	raw, err := os.ReadFile(s.cfg.Scruples.Path)
	require.NoError(t, err)
	s.write("dev.jsonl", strings.Replace(string(raw), "story", "history", 1))
	_, notes = again()
	require.Contains(t, notes, "scruples.loglik.base: measured again, since data.scruples: ")

	// Another program.
	s.ids["version"] = "v2"
	_, notes = again()
	require.Contains(t, notes, "since program: v1 -> v2")
	require.Equal(t, 10, strings.Count(notes, "\n"), notes)
}

// An interrupted measurement of other terms is discarded, not continued.
func TestJournalOfAnotherFingerprint(t *testing.T) {
	s := newStudy(t)
	s.cfg.BatchTokens = 120 // several batches, shared beginnings or not
	_, _, err := s.run("a", 2)
	require.Error(t, err)
	_, _, err = s.run("a", 2)
	require.Error(t, err)
	require.Contains(t, strings.Join(s.notes, "\n"), "ethics-deontology loglik base: going on after batch 1")
	s.ids["base"] = " of today"
	got, calls, err := s.run("a", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"ethics-deontology.loglik.base.part: begun under other terms (models[0]: weights of " +
		"base -> weights of base of today), discarded: it is measured from the start"}, s.notes)
	want, total, err := s.run("b", 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, total, calls)
}

// Files of another version, or that are not what a finished measurement left.
func TestOutcomesThatDoNotHold(t *testing.T) {
	s := newStudy(t)
	want, _, err := s.run("a", 0)
	require.NoError(t, err)
	piece := filepath.Join(s.dir, "a", "items", "scruples.thesis.sft.json")
	records := filepath.Join(s.dir, "a", "items", "scruples.thesis.sft.jsonl.zst")
	raw, err := os.ReadFile(piece)
	require.NoError(t, err)
	for reason, change := range map[string]func() error{
		"its result is of version 7, not 1": func() error {
			return os.WriteFile(piece, []byte(strings.Replace(string(raw), `"version": 1`, `"version": 7`, 1)), 0o600)
		},
		"its result cannot be read": func() error { return os.WriteFile(piece, raw[:len(raw)/2], 0o600) },
		`unknown field "bench"`: func() error {
			return os.WriteFile(piece, []byte(strings.Replace(string(raw), `"benchmark"`, `"bench"`, 1)), 0o600)
		},
		"its records are not those it ended with": func() error { return os.Truncate(records, 10) },
		"its records are not those":               func() error { return os.Remove(records) },
	} {
		require.NoError(t, change())
		got, calls, err := s.run("a", 0)
		require.NoError(t, err)
		require.Positive(t, calls)
		require.Len(t, s.notes, 1)
		require.Contains(t, s.notes[0], "scruples.thesis.sft: measured again, since ")
		require.Contains(t, s.notes[0], reason)
		require.Equal(t, want, got)
	}
	// A process killed between writing the result and removing the journal left both.
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "a", "items", "scruples.thesis.sft.part"), []byte("x"), 0o600))
	_, calls, err := s.run("a", 0)
	require.NoError(t, err)
	require.Zero(t, calls)
	require.Empty(t, s.parts("a"))
	// A journal of another version.
	_, _, err = s.run("b", 2)
	require.Error(t, err)
	part := s.parts("b")[0]
	raw, err = os.ReadFile(part)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(part, []byte(strings.Replace(string(raw), `"journal":1`, `"journal":9`, 1)), 0o600))
	got, _, err := s.run("b", 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, s.notes[0], "of another version, discarded")
}

// Without an ID a model is not recognised, and nothing of it is taken up.
func TestModelsWithoutIDAreNotResumed(t *testing.T) {
	s := newStudy(t)
	dir := filepath.Join(s.dir, "a")
	suite, err := New(s.cfg, dir)
	require.NoError(t, err)
	for range 2 {
		m := evaltest.Policy("sft", "WRONG", 2)
		_, err = suite.Language(context.Background(), m)
		require.NoError(t, err)
		require.NotEmpty(t, m.Evaluator.(*evaltest.Bigram).Batches)
	}
	found, err := filepath.Glob(filepath.Join(dir, "items", "*.json"))
	require.NoError(t, err)
	require.Empty(t, found)
}
