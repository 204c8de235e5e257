package demo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"steer/internal/atomicfile"
)

//go:embed assets/SHA256SUMS assets/model.gguf assets/data
var assets embed.FS

const (
	root     = "assets"
	manifest = "SHA256SUMS"
)

// Split is a data set in two files: rows to learn from and rows kept apart.
type Split struct {
	Train, Test string
}

// Paths says where Extract put each file. All are below Dir.
type Paths struct {
	Dir   string // the folder given to Extract
	Model string // GGUF, architecture llama
	Data  string // root of the data tree

	Guanaco        Split // instruction conversations, JSONL; Test is the evaluation file
	Deontology     Split // ETHICS CSV: label,scenario,excuse
	Utilitarianism Split // ETHICS CSV without header: the more pleasant first
	Virtue         Split // ETHICS CSV: label,scenario with " [SEP] "
	Harmless       Split // hh-rlhf JSONL.gz: chosen, rejected
	Scruples       Split // anecdotes JSONL.gz; Train is the dev file, for choosing thresholds
	ToxiGen        Split // CSV of annotated statements
	Winograd       string
	Prompts        string // JSONL, one {"prompt": "### Human: ...### Assistant:"} for each evaluation conversation
}

// File is one embedded file: its slash-separated path below the folder of extraction, and the
// SHA-256 of its content in hexadecimal, as the manifest has it.
type File struct {
	Name, SHA256 string
}

// Files lists every embedded file except the manifest, sorted by name.
func Files() ([]File, error) {
	raw, err := assets.ReadFile(path.Join(root, manifest))
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	var files []File
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != 2*sha256.Size || !fs.ValidPath(name) {
			return nil, fmt.Errorf("demo: %s: line %d: want \"<sha256>  <path>\", got %q", manifest, n, lines.Text())
		}
		files = append(files, File{Name: name, SHA256: sum})
	}
	return files, lines.Err()
}

// Open returns the content of an embedded file by its name in Files.
func Open(name string) ([]byte, error) {
	return assets.ReadFile(path.Join(root, name))
}

// Extract writes every embedded file below dir, which is made when it is missing. Each file appears
// whole or not at all; one that is there already with the same content is left untouched, so a
// second call writes nothing, and one that differs is replaced.
func Extract(dir string) (Paths, error) {
	files, err := Files()
	if err != nil {
		return Paths{}, err
	}
	for _, f := range files {
		if err := extract(dir, f); err != nil {
			return Paths{}, fmt.Errorf("demo: extract %s: %w", f.Name, err)
		}
	}
	return paths(dir), nil
}

func extract(dir string, f File) error {
	to := filepath.Join(dir, filepath.FromSlash(f.Name))
	old, err := os.ReadFile(to)
	switch {
	case err == nil && hash(old) == f.SHA256:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	data, err := Open(f.Name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteFile(to, data, 0o644)
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// paths names the files below dir; the layout is that of the public data sets.
func paths(dir string) Paths {
	data := filepath.Join(dir, "data")
	at := func(name string) string { return filepath.Join(data, filepath.FromSlash(name)) }
	split := func(form, train, test string) Split {
		return Split{Train: at(fmt.Sprintf(form, train)), Test: at(fmt.Sprintf(form, test))}
	}
	return Paths{
		Dir:            dir,
		Model:          filepath.Join(dir, "model.gguf"),
		Data:           data,
		Guanaco:        split("guanaco/openassistant_best_replies_%s.jsonl", "train", "eval"),
		Deontology:     split("ethics/deontology/deontology_%s.csv", "train", "test"),
		Utilitarianism: split("ethics/utilitarianism/util_%s.csv", "train", "test"),
		Virtue:         split("ethics/virtue/virtue_%s.csv", "train", "test"),
		Harmless:       split("hh-rlhf/harmless-base/%s.jsonl.gz", "train", "test"),
		Scruples:       split("scruples/anecdotes/%s.scruples-anecdotes.jsonl.gz", "dev", "test"),
		ToxiGen:        split("toxigen/annotated_%s.csv", "train", "test"),
		Winograd:       at("winograd/WSCollection.xml"),
		Prompts:        at("prompts/heldout.jsonl"),
	}
}
