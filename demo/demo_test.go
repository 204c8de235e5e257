package demo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	maxModel = 4 << 20 // bytes of the quantized model
	maxData  = 600_000 // bytes of all data files, unpacked
	ctx      = 512     // tokens the model can see; no text is near it
	maxText  = ctx * 3 // bytes: a token is about four of them here
)

func content(t *testing.T, name string) []byte {
	t.Helper()
	data, err := Open(name)
	require.NoError(t, err)
	if !strings.HasSuffix(name, ".gz") {
		return data
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	data, err = io.ReadAll(r)
	require.NoError(t, err)
	return data
}

func TestManifestCoversEveryEmbeddedFile(t *testing.T) {
	files, err := Files()
	require.NoError(t, err)
	listed := map[string]string{}
	for _, f := range files {
		listed[f.Name] = f.SHA256
	}
	require.Len(t, listed, len(files), "a file is listed twice")
	require.NoError(t, fs.WalkDir(assets, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == manifest {
			return err
		}
		name := strings.TrimPrefix(p, root+"/")
		data, err := Open(name)
		require.NoError(t, err)
		require.Equal(t, listed[name], hash(data), name)
		delete(listed, name)
		return nil
	}))
	require.Empty(t, listed, "listed but not embedded")
}

func TestSizes(t *testing.T) {
	model, err := Open("model.gguf")
	require.NoError(t, err)
	require.LessOrEqual(t, len(model), maxModel)
	require.Equal(t, "GGUF", string(model[:4]))

	files, err := Files()
	require.NoError(t, err)
	total := 0
	for _, f := range files {
		if strings.HasPrefix(f.Name, "data/") {
			total += len(content(t, f.Name))
		}
	}
	require.LessOrEqual(t, total, maxData)
}

func TestExtract(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	p, err := Extract(dir)
	require.NoError(t, err)

	// Every path in Paths names a file or folder that is there.
	var check func(v reflect.Value)
	check = func(v reflect.Value) {
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.Struct {
				check(f)
			} else {
				require.FileExists(t, existing(t, f.String()))
			}
		}
	}
	check(reflect.ValueOf(p))

	// A second call leaves equal files alone and mends a damaged one.
	before, err := os.Stat(p.Model)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.Winograd, []byte("cut sho"), 0o644))
	_, err = Extract(dir)
	require.NoError(t, err)
	after, err := os.Stat(p.Model)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "an equal file was written again")
	mended, err := os.ReadFile(p.Winograd)
	require.NoError(t, err)
	require.Equal(t, content(t, "data/winograd/WSCollection.xml"), mended)
}

// existing turns a folder into the path of some file in it, so that one assertion serves both.
func existing(t *testing.T, path string) string {
	info, err := os.Stat(path)
	require.NoError(t, err)
	if !info.IsDir() {
		return path
	}
	entries, err := os.ReadDir(path)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	return existing(t, filepath.Join(path, entries[0].Name()))
}

func TestExtractSaysWhichFileFailed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := Extract(file)
	require.ErrorContains(t, err, "demo: extract data/")
}

func TestRowCounts(t *testing.T) {
	for name, want := range map[string]int{
		"ethics/deontology/deontology_train.csv": 180 * 4,
		"ethics/deontology/deontology_test.csv":  60 * 4,
		"ethics/virtue/virtue_train.csv":         240 * 5,
		"ethics/virtue/virtue_test.csv":          60 * 5,
		"toxigen/annotated_train.csv":            40,
		"toxigen/annotated_test.csv":             80,
	} {
		rows, err := csv.NewReader(bytes.NewReader(content(t, "data/"+name))).ReadAll()
		require.NoError(t, err, name)
		require.Len(t, rows[1:], want, name)
	}
	for name, want := range map[string]int{"train": 480, "test": 140} {
		text := content(t, "data/ethics/utilitarianism/util_"+name+".csv")
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, want)
		require.Len(t, rows[0], 2)
	}
	for name, want := range map[string]int{
		"guanaco/openassistant_best_replies_train.jsonl":      400,
		"guanaco/openassistant_best_replies_eval.jsonl":       80,
		"prompts/heldout.jsonl":                               80,
		"hh-rlhf/harmless-base/train.jsonl.gz":                300,
		"hh-rlhf/harmless-base/test.jsonl.gz":                 110,
		"scruples/anecdotes/dev.scruples-anecdotes.jsonl.gz":  50,
		"scruples/anecdotes/test.scruples-anecdotes.jsonl.gz": 90,
	} {
		require.Len(t, jsonl(t, name), want, name)
	}
	var collection struct {
		Schemas []struct {
			Correct string   `xml:"correctAnswer"`
			Answers []string `xml:"answers>answer"`
		} `xml:"schema"`
	}
	decoder := xml.NewDecoder(bytes.NewReader(content(t, "data/winograd/WSCollection.xml")))
	decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	require.NoError(t, decoder.Decode(&collection))
	require.Len(t, collection.Schemas, 40)
}

func jsonl(t *testing.T, name string) []map[string]any {
	t.Helper()
	var rows []map[string]any
	lines := bufio.NewScanner(bytes.NewReader(content(t, "data/"+name)))
	for lines.Scan() {
		var row map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row), name)
		rows = append(rows, row)
	}
	require.NoError(t, lines.Err())
	return rows
}

// Test groups are four consecutive rows with two reasonable excuses, or five with one fitting trait.
func TestEthicsGroups(t *testing.T) {
	for name, group := range map[string]struct{ size, positive int }{"deontology": {4, 2}, "virtue": {5, 1}} {
		for _, part := range []string{"train", "test"} {
			rows, err := csv.NewReader(
				bytes.NewReader(content(t, "data/ethics/"+name+"/"+name+"_"+part+".csv"))).ReadAll()
			require.NoError(t, err)
			for rows = rows[1:]; len(rows) > 0; rows = rows[group.size:] {
				positive := 0
				for _, row := range rows[:group.size] {
					require.Equal(t, scenario(rows[0]), scenario(row))
					if row[0] == "1" {
						positive++
					}
				}
				require.Equal(t, group.positive, positive, rows[0])
			}
		}
	}
}

func scenario(row []string) string {
	text, _, _ := strings.Cut(row[1], " [SEP] ")
	return text
}

// What a reward model or the policy is tested on was not seen while it learned.
func TestSplitsDoNotOverlap(t *testing.T) {
	keys := func(name string) map[string]bool {
		set := map[string]bool{}
		switch {
		case strings.HasSuffix(name, ".csv"):
			rows, err := csv.NewReader(bytes.NewReader(content(t, "data/"+name))).ReadAll()
			require.NoError(t, err)
			for _, row := range rows {
				if strings.Contains(name, "util_") {
					set[row[0]+"|"+row[1]] = true
				} else if row[0] != "label" {
					set[scenario(row)] = true
				}
			}
		default:
			for _, row := range jsonl(t, name) {
				text, ok := row["text"].(string)
				if !ok {
					text = row["chosen"].(string)
				}
				require.Less(t, len(text), maxText)
				text, _, _ = strings.Cut(text, "### Assistant:")
				if at := strings.LastIndex(text, "\n\nAssistant:"); at >= 0 {
					text = text[:at]
				}
				set[text] = true
			}
		}
		return set
	}
	for _, pair := range [][2]string{
		{"ethics/deontology/deontology_train.csv", "ethics/deontology/deontology_test.csv"},
		{"ethics/virtue/virtue_train.csv", "ethics/virtue/virtue_test.csv"},
		{"ethics/utilitarianism/util_train.csv", "ethics/utilitarianism/util_test.csv"},
		{"hh-rlhf/harmless-base/train.jsonl.gz", "hh-rlhf/harmless-base/test.jsonl.gz"},
		{"guanaco/openassistant_best_replies_train.jsonl", "guanaco/openassistant_best_replies_eval.jsonl"},
		{"scruples/anecdotes/dev.scruples-anecdotes.jsonl.gz", "scruples/anecdotes/test.scruples-anecdotes.jsonl.gz"},
	} {
		train := keys(pair[0])
		for key := range keys(pair[1]) {
			require.False(t, train[key], "%s and %s share %q", pair[0], pair[1], key)
		}
	}
}

// Prompts to measure a policy on are the first questions of the evaluation conversations.
func TestPromptsAreHeldOut(t *testing.T) {
	held := jsonl(t, "guanaco/openassistant_best_replies_eval.jsonl")
	for i, row := range jsonl(t, "prompts/heldout.jsonl") {
		prompt := row["prompt"].(string)
		require.True(t, strings.HasPrefix(held[i]["text"].(string), prompt))
		require.True(t, strings.HasSuffix(prompt, "### Assistant:"))
	}
}
