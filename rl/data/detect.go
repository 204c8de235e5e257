package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// detectBytes is how much of a file Detect looks at.
const detectBytes = 1 << 20

var winoBiasLine = regexp.MustCompile(`^\d+ .*\[[^\]]+\].*\[[^\]]+\]`)

// Detect recognises the format of a file by its first megabyte. The error wraps
// ErrUnknownFormat when nothing fits.
func Detect(path string) (Format, error) {
	f, err := Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, detectBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("data: %s: %w", f.Path, err)
	}
	if n == 0 {
		return "", fmt.Errorf("data: %s: %w: the file is empty", f.Path, ErrEmpty)
	}
	if format := detect(head[:n], n < detectBytes); format != "" {
		return format, nil
	}
	return "", fmt.Errorf("data: %s: %w: it starts with %s; formats are %s", f.Path, ErrUnknownFormat,
		quote(strings.ToValidUTF8(string(head[:min(n, 60)]), "�")), strings.Join(Format("").Values()[1:], ", "))
}

// detect decides on the head of a file; whole says that head is all of it.
func detect(head []byte, whole bool) Format {
	if bytes.HasPrefix(head, []byte("PAR1")) {
		return FormatGuanacoParquet
	}
	head = bytes.TrimPrefix(head, bomUTF8)
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(text) == 0:
		return ""
	case bytes.HasPrefix(text, []byte("<?xml")) || bytes.HasPrefix(text, []byte("<collection")):
		if bytes.Contains(text, []byte("<schema>")) {
			return FormatWSC
		}
		return ""
	case text[0] == '[':
		return detectArray(text)
	case text[0] == '{':
		return detectObject(text)
	}
	return detectTable(head, whole)
}

func detectArray(text []byte) Format {
	next := bytes.TrimLeft(text[1:], " \t\r\n")
	switch {
	case bytes.HasPrefix(next, []byte("[")):
		return FormatLabelCounts
	case bytes.HasPrefix(next, []byte("{")):
		if keys := firstObject(next); keys["toxicity_score"] != nil {
			return FormatSafeNLP
		}
	}
	return ""
}

func firstObject(text []byte) map[string]json.RawMessage {
	var keys map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&keys); err != nil {
		return nil
	}
	return keys
}

// detectObject knows JSON Lines by the keys of the first row.
func detectObject(text []byte) Format {
	keys := firstObject(text)
	has := func(names ...string) bool {
		for _, n := range names {
			if keys[n] == nil {
				return false
			}
		}
		return true
	}
	switch {
	case has("chosen_ids", "rejected_ids"):
		return FormatTokenPairs
	case has("chosen", "rejected"):
		var chosen string
		if json.Unmarshal(keys["chosen"], &chosen) == nil && strings.HasPrefix(chosen, hhHuman) && !has("prompt") {
			return FormatHH
		}
		return FormatPairs
	case has("ids"):
		return FormatTokens
	case has("messages"):
		return FormatChat
	case has("prompt", "completion"), has("prompt", "response"):
		return FormatCompletion
	case has("label_scores"):
		return FormatAnecdotes
	case has("actions", "gold_label"):
		return FormatDilemmas
	case has("sentence", "option1", "option2"):
		return FormatWinoGrande
	case has("context_options", "continuation"):
		return FormatPartial
	case has("text"):
		var value string
		if json.Unmarshal(keys["text"], &value) == nil && strings.HasPrefix(value, guanacoHuman) {
			return FormatGuanaco
		}
	}
	return ""
}

// detectTable knows CSV and TSV files by their header, and files without one by
// the number of columns of their first records.
func detectTable(head []byte, whole bool) Format {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	line := strings.TrimSuffix(string(first), "\r")
	switch {
	case line == "label,scenario,excuse":
		return FormatDeontology
	case line == "label,input,is_short,edited":
		return FormatCommonsense
	case line == strings.Join(toxigenHeader, ","):
		return FormatToxiGen
	case line == "sentid\tsentence":
		return FormatWinogender
	case strings.HasPrefix(line, "occupation(0)\tother-participant(1)\t"):
		return FormatWinogenderTempl
	case strings.HasPrefix(line, "occupation\tbergsma_pct_female\t"):
		return FormatWinogenderStats
	case line == "label,scenario":
		if bytes.Contains(head, []byte(VirtueSeparator)) {
			return FormatVirtue
		}
		return FormatJustice
	case isCrowSHeader(line):
		return FormatCrowSPairs
	case winoBiasLine.MatchString(line):
		return FormatWinoBias
	case !utf8.ValidString(line):
		return ""
	}
	switch columns := csvColumns(head, whole); {
	case slices.Equal(columns, []int{2}):
		return FormatUtilitarianism
	case slices.Equal(columns, []int{1}) && head[0] == '"':
		return FormatCommonsenseAmbig
	}
	return ""
}

// csvColumns gives the distinct column counts of the first records (at most 50).
func csvColumns(head []byte, whole bool) []int {
	s := &source{format: FormatAuto, r: newBufferedReader(head), lim: defaultLimits(), line: 1}
	c := &csvReader{source: s, comma: ','}
	var counts []int
	for records := 0; records < 50; records++ {
		fields, err := c.next()
		if errors.Is(err, io.EOF) || err != nil && !whole && records > 0 {
			break
		}
		if err != nil {
			return nil
		}
		if !whole && peekFails(c) {
			break // the last record may be cut short
		}
		if !slices.Contains(counts, len(fields)) {
			counts = append(counts, len(fields))
		}
	}
	return counts
}

func peekFails(c *csvReader) bool {
	_, err := c.r.Peek(1)
	return err != nil
}
