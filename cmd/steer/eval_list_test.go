package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/ggml/gguf/gguftest"
)

func TestListOfSuitesAndBenchmarks(t *testing.T) {
	data := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(data, "toxigen"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(data, "toxigen", "annotated_train.csv.gz"), nil, 0o600))
	list := func(args ...string) string {
		t.Helper()
		var out, said bytes.Buffer
		a := newApp(strings.NewReader(""), &out, &said)
		root := newRootCommand(a)
		root.SetArgs(append([]string{"eval", "--list", "--data", data}, args...))
		require.NoError(t, root.Execute(), said.String())
		return out.String()
	}
	text := list()
	for _, want := range []string{
		"  thesis: What",
		"  toxigen: loglik; of reward models: reward [full, thesis]\n    there: toxigen/annotated_train.csv",
		"  wsc285: loglik [full, thesis]\n    missing: winograd/wsc285/WSCollection.xml\n      from https://",
		"  dilemmas: loglik; of reward models: reward [full]",
		"  perplexity: loglik\n    in no suite: name its file, --set perplexity.path=FILE", "\n1 of ",
	} {
		require.Contains(t, text, want)
	}
	for _, line := range strings.Split(text, "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
	}
	require.Regexp(t, `What is missing comes with:\n  steer fetch crows-pairs ethics [^\n]*\n? .*--data`, text)
	require.NotContains(t, list("--suite", "thesis"), "dilemmas")

	var l jobs.Listing
	require.NoError(t, json.Unmarshal([]byte(list("--json")), &l))
	keys := map[string]bool{}
	for _, b := range l.Benchmarks {
		require.NotEmpty(t, b.Data, b.Name)
		for _, d := range b.Data {
			keys[d.Key] = true
			require.Equal(t, slices.Contains(d.Files, "toxigen/annotated_train.csv"), d.Found != "", d.Key)
		}
	}
	j := jobs.NewEval()
	for _, f := range j.DataFiles() {
		require.True(t, keys[f.Key], "%s is in no list", f.Key)
	}
}

// An evaluation of nothing ends well and says that nothing was measured.
func TestAnEvaluationOfNothingSaysSo(t *testing.T) {
	code, _, errs := command(t, "", "eval", "-q", "--model", tinyModel(t, gguftest.Options{}), "--template", "plain",
		"-o", t.TempDir()+"/x")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "warning: x: nothing was measured")
}
