package data

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
)

func tableFile(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
	return path
}

func TestReadTable(t *testing.T) {
	for name, body := range map[string]string{
		"a.jsonl": "{\"q\": \"Why?\", \"n\": 3, \"f\": 1.0, \"c\": [\"x\", {\"k\": null}]," +
			" \"b\": true}\n\n{\"q\": \"é\", \"n\": -1, \"f\": 2.5, \"c\": [], \"b\": false}",
		"a.json": "[{\"q\": \"Why?\", \"n\": 3, \"f\": 1.0, \"c\": [\"x\", {\"k\": null}], \"b\": true}" +
			",\n\n {\"q\": \"é\", \"n\": -1, \"f\": 2.5, \"c\": [], \"b\": false}\n]\n",
		"b.ndjson": "{\"q\": \"Why?\", \"n\": 3, \"f\": 1.0, \"c\": [\"x\", {\"k\": null}]," +
			" \"b\": true}\n\n{\"q\": \"é\", \"n\": -1, \"f\": 2.5, \"c\": [], \"b\": false}",
	} {
		tab, err := ReadTable(tableFile(t, name, body), "")
		require.NoError(t, err, name)
		require.Equal(t, []Row{
			{Line: 1, Fields: ordered.Of("q", "Why?", "n", 3, "f", 1.0, "c", []any{"x", ordered.Of("k", nil)}, "b",
				true)},
			{Line: 3, Fields: ordered.Of("q", "é", "n", -1, "f", 2.5, "c", []any{}, "b", false)},
		}, tab.Rows, name)
	}
}

func TestReadTableCSVTypes(t *testing.T) {
	body := "q,n,f,b,zip,mixed\n\"a, \"\"b\"\"\nc\",1,0.5,True,01,1\nx,-2,3,False,02,\n"
	want := []Row{
		{Line: 2, Fields: ordered.Of("q", "a, \"b\"\nc", "n", 1, "f", 0.5, "b", true, "zip", "01", "mixed", "1")},
		{Line: 4, Fields: ordered.Of("q", "x", "n", -2, "f", 3.0, "b", false, "zip", "02", "mixed", "")},
	}
	tab, err := ReadTable(tableFile(t, "a.csv", body), "")
	require.NoError(t, err)
	require.Equal(t, want, tab.Rows)
	tab, err = ReadTable(tableFile(t, "a.txt", "q\tn\nx y\t7\n"), TableTSV)
	require.NoError(t, err)
	require.Equal(t, []Row{{Line: 2, Fields: ordered.Of("q", "x y", "n", 7)}}, tab.Rows)
}

func TestReadTableParquet(t *testing.T) {
	type choices struct {
		Text  []string `parquet:"text,list"`
		Label []string `parquet:"label"`
	}
	type row struct {
		Q       string  `parquet:"question"`
		N       int64   `parquet:"label"`
		F       float64 `parquet:"f"`
		B       bool    `parquet:"b"`
		None    *string `parquet:"none,optional"`
		Choices choices `parquet:"choices"`
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	require.NoError(t, parquet.WriteFile(path, []row{
		{Q: "Why?", N: 1, F: 1.5, B: true, Choices: choices{[]string{"a", "b's"}, []string{"A", "B"}}},
		{Q: "é", Choices: choices{[]string{}, []string{}}},
	}))
	tab, err := ReadTable(path, "")
	require.NoError(t, err)
	require.Equal(t, []Row{
		{Line: 1, Fields: ordered.Of("question", "Why?", "label", 1, "f", 1.5, "b", true, "none", nil,
			"choices", ordered.Of("text", []any{"a", "b's"}, "label", []any{"A", "B"}))},
		{Line: 2, Fields: ordered.Of("question", "é", "label", 0, "f", 0.0, "b", false, "none", nil,
			"choices", ordered.Of("text", []any{}, "label", []any{}))},
	}, tab.Rows)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = ReadTable(tableFile(t, "b.parquet", string(raw[:len(raw)-9])), "")
	require.ErrorIs(t, err, ErrMalformed)
}

func TestReadTableRefuses(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"a.jsonl", "{\"q\": 1}\n[1]\n", `line 2: malformed`},
		{"a.jsonl", "{\"q\": 1} {\"q\": 2}\n", `more after the value`},
		{"a.jsonl", "null\n", `got null`},
		{"a.jsonl", "", `want data, got an empty file`},
		{"a.jsonl", "\n\n", `want at least one data row`},
		{"a.json", "[]", `want at least one data row`},
		{"a.json", "[{\"q\": 1},\n{\"q\": ", `line 2: malformed`},
		{"a.json", "[{\"q\": 1}\n", `the array does not end`},
		{"a.json", "[1]", `want an array of JSON objects`},
		{"a.csv", "q,n\n", `want at least one data row`},
		{"a.csv", "q,q\n1,2\n", `field "header": malformed: want a name of its own for every column, got "q,q"`},
		{"a.csv", "q,n\n1\n", `line 2: malformed: want 2 columns, as the header has, got 1`},
		{"a.csv", "q,n\n\"1,2\n", `a closing quote`},
		{"a.jsonl", "{\"q\": \"\xff\"}\n", `not UTF-8`},
		{"a.parquet", "PLAIN", `want a parquet file`},
		{"a.xlsx", "x", `the name ends in none of [json jsonl csv tsv parquet]`},
	} {
		_, err := ReadTable(tableFile(t, c.name, c.body), "")
		require.ErrorContains(t, err, c.want, c.body)
		require.ErrorContains(t, err, c.name)
	}
	_, err := ReadTable(tableFile(t, "a.csv", "x\n1\n"), "xml")
	require.ErrorContains(t, err, `format "xml": want one of`)
}
