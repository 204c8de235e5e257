package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/data"
)

func TestDataInspect(t *testing.T) {
	m := demoModel(t)
	out := succeed(t, "", "data", "inspect", m.Deontology.Train, m.Guanaco.Test)
	for _, want := range []string{"(ethics-deontology)\n720 rows", "label 0: 360 (50.0 %)", "(guanaco)", "example 3"} {
		require.Contains(t, out, want)
	}
	sums := lines[data.Summary](t, succeed(t, "", "data", "inspect", "--json", m.Deontology.Train, m.Harmless.Train))
	require.Len(t, sums, 2)
	require.Equal(t, data.FormatDeontology, sums[0].Format)
	require.Equal(t, 720, sums[0].Rows)
	require.Equal(t, data.FormatHH, sums[1].Format)
	named := lines[data.Summary](t,
		succeed(t, "", "data", "inspect", "--json", "--format", "ethics-deontology", m.Deontology.Train))
	require.Equal(t, sums[0].Fields, named[0].Fields)
}

func TestDataFailures(t *testing.T) {
	m := demoModel(t)
	bad := writeFile(t, "bad.csv", "label,scenario,excuse\n1,I was late.,But so what.\n7,x,y\n")
	latin := writeFile(t, "latin.csv", "label,scenario,excuse\n1,I was at the caf\xe9.,No.\n")
	for _, f := range []failure{
		{name: "no file", args: []string{"data", "inspect"}, code: 2, says: []string{"data inspect --help"}},
		{name: "missing", args: []string{"data", "inspect", "nowhere.csv"}, code: 1, says: []string{"nowhere.csv"}},
		{name: "format", args: []string{"data", "inspect", "--format", "hhrlhf", bad}, code: 2,
			says: []string{"--format", `did you mean "hh-rlhf"?`}},
		{name: "field", args: []string{"data", "inspect", bad}, code: 1,
			says: []string{"bad.csv", "line 3", `"label"`, "7"}},
		{name: "encoding", args: []string{"data", "inspect", "--format", "ethics-deontology", latin}, code: 1,
			says: []string{"latin.csv", "line 2", "UTF-8"}},
		{name: "folder", args: []string{"data", "inspect", m.Data}, code: 1, says: []string{"is a folder"}},
		{name: "empty", args: []string{"data", "inspect", writeFile(t, "empty.csv", "")}, code: 1,
			says: []string{"empty.csv"}},
	} {
		f.run(t)
	}
	// One bad file does not hide the others.
	code, out, errs := command(t, "", "data", "inspect", "--json", bad, m.Deontology.Train, "nowhere.csv")
	require.Equal(t, 1, code)
	require.Len(t, lines[data.Summary](t, out), 1)
	require.Contains(t, errs, "bad.csv")
	require.Contains(t, errs, "nowhere.csv")
}

func TestDataInspectReadsPackedFiles(t *testing.T) {
	m := demoModel(t)
	raw, err := os.ReadFile(m.Deontology.Test)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.csv.gz"), gzipped(t, raw), 0o666))
	require.Contains(t, succeed(t, "", "data", "inspect", filepath.Join(dir, "x.csv")), "240 rows")
}
