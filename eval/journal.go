package eval

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"steer/internal/atomicfile"
	"steer/internal/conf"
)

// journalVersion is the version of the journal's form.
const journalVersion = 1

// journal keeps every answer that a measurement gets from a model, one line a batch,
// written and synced before the next batch is asked. A measurement that is interrupted
// and begun again asks the same batches in the same order (its plan depends on nothing
// but the data, the settings and the tokenizer), and gets the answers it had from here:
// the numbers are the very same bits, and what is lost is the batch that was being
// computed.
//
// An answer is found by the hash of what was asked, of whom: a batch that is composed
// in another way is simply not found. A nil journal keeps nothing.
type journal struct {
	path string
	f    *os.File
	size int64 // bytes of whole lines
	kept map[string]json.RawMessage
	// replayed says whether the last answer came from the file.
	replayed      bool
	found, asked  int // answers taken from the file, and computed
	keptFromStart int // answers that the file held when it was opened
}

// journalHead is the first line.
type journalHead struct {
	Journal     int    `json:"journal"`
	Fingerprint string `json:"fingerprint"` // YAML
}

// journalLine is every other line.
type journalLine struct {
	Call   string          `json:"call"` // hash of what was asked
	Answer json.RawMessage `json:"answer"`
}

// openJournal opens the journal of a measurement with this fingerprint, or begins one.
// What an earlier process left under another fingerprint is discarded, and note told.
func openJournal(path, fingerprint string, note func(string)) (j *journal, err error) {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("eval: %w", err)
	}
	j = &journal{path: path, kept: map[string]json.RawMessage{}}
	head, rest, whole := bytes.Cut(raw, []byte("\n"))
	var h journalHead
	switch {
	case !whole: // not even begun
	case json.Unmarshal(head, &h) != nil || h.Journal != journalVersion:
		note(fmt.Sprintf("%s: of another version, discarded: it is measured from the start", filepath.Base(path)))
	case h.Fingerprint != fingerprint:
		note(fmt.Sprintf("%s: begun under other terms (%s), discarded: it is measured from the start", filepath.Base(path), difference(h.Fingerprint, fingerprint)))
	default:
		j.size = int64(len(head)) + 1
		if damaged := j.read(rest); damaged > 0 {
			note(fmt.Sprintf("%s: %d bytes of it are damaged: what they held is measured again", filepath.Base(path), damaged))
		}
	}
	j.keptFromStart = len(j.kept)
	if j.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("eval: %s: %w", path, err), j.f.Close())
			j = nil
		}
	}()
	if err = j.f.Truncate(j.size); err != nil {
		return j, err
	}
	if j.size == 0 {
		if err = j.append(journalHead{journalVersion, fingerprint}); err != nil {
			return j, err
		}
		err = atomicfile.SyncDir(filepath.Dir(path))
	}
	return j, err
}

// read takes over whole lines. A last line without an end is what a killed process was
// writing; the number of bytes after the first line that is damaged otherwise is
// returned.
func (j *journal) read(lines []byte) (damaged int) {
	for len(lines) > 0 {
		line, rest, whole := bytes.Cut(lines, []byte("\n"))
		if !whole {
			return 0
		}
		var l journalLine
		if json.Unmarshal(line, &l) != nil || len(l.Call) != 2*sha256.Size || len(l.Answer) == 0 {
			return len(lines)
		}
		j.kept[l.Call] = l.Answer
		j.size += int64(len(line)) + 1
		lines = rest
	}
	return 0
}

// append writes one line and makes it durable; what a full disk cut short is removed.
func (j *journal) append(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	n, err := j.f.WriteAt(line, j.size)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		if n > 0 {
			err = errors.Join(err, j.f.Truncate(j.size))
		}
		return err
	}
	j.size += int64(len(line))
	return nil
}

// close closes the file; it stays for the next process.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.f.Close()
}

// remove deletes the file of a measurement whose result is written.
func (j *journal) remove() error {
	if j == nil {
		return nil
	}
	if err := errors.Join(j.f.Close(), os.Remove(j.path)); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// remembered gives the kept answer to a question, or asks and keeps the answer. who and
// what name the model and the question.
func remembered[A any](j *journal, who, kind string, what any, ask func() (A, error)) (answer A, err error) {
	if j == nil {
		return ask()
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode([]any{who, kind, what}); err != nil {
		return answer, fmt.Errorf("journal: %w", err)
	}
	call := hex.EncodeToString(h.Sum(nil))
	if raw, ok := j.kept[call]; ok {
		if err := json.Unmarshal(raw, &answer); err != nil {
			return answer, fmt.Errorf("%s: an answer in it cannot be read: %w (remove the file, or start again with --fresh)", j.path, err)
		}
		j.replayed = true
		j.found++
		return answer, nil
	}
	if answer, err = ask(); err != nil {
		return answer, err
	}
	j.replayed = false
	j.asked++
	raw, err := json.Marshal(answer)
	var unsupported *json.UnsupportedValueError
	if errors.As(err, &unsupported) {
		// Not a finite number: whoever asked refuses it, or a later process asks again.
		return answer, nil
	}
	if err != nil {
		return answer, fmt.Errorf("journal: %w", err)
	}
	j.kept[call] = raw
	if err := j.append(journalLine{call, raw}); err != nil {
		return answer, fmt.Errorf("keeping what was measured: %w", err)
	}
	return answer, nil
}

// difference names the first keys in which two YAML texts differ.
func difference(old, now string) string {
	changes, err := conf.Diff([]byte(old), []byte(now))
	if err != nil || len(changes) == 0 {
		return "they cannot be read"
	}
	out := changes[0].String()
	if n := len(changes) - 1; n > 0 {
		out += fmt.Sprintf(", and %d more", n)
	}
	return out
}
