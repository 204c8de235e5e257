package journal

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"steer/internal/atomicfile"
	"steer/rl/run"
)

// Journal keeps every answer that a measurement gets from a model, one line a batch,
// written and synced before the next batch is asked. A measurement that is interrupted
// and begun again asks the same batches in the same order (its plan depends on nothing
// but the data, the settings and the tokenizer), and gets the answers it had from here:
// the numbers are the very same bits, and what is lost is the batch that was being
// computed.
//
// An answer is found by the hash of what was asked, of whom: a batch that is composed
// in another way is simply not found. Answers stay on disk; in memory is where each stands,
// about a hundred bytes a batch. A nil journal keeps nothing.
type Journal struct {
	path string
	f    *os.File
	size int64 // bytes of whole lines
	kept map[call]span
	// replayed says whether the last answer came from the file.
	replayed bool
	found    int // answers that the file held when it was opened
}

// call is the hash of what was asked, of whom.
type call [sha256.Size]byte

// span is where in the file a line stands.
type span struct {
	at     int64
	length int
}

// journalHead is the first line.
type journalHead struct {
	Journal     int             `json:"journal"` // run.JournalVersion
	Fingerprint run.Fingerprint `json:"fingerprint"`
}

// journalLine is every other line.
type journalLine struct {
	Call   string          `json:"call"` // hash of what was asked
	Answer json.RawMessage `json:"answer"`
}

// Open opens the journal of a measurement with this fingerprint, or begins one.
// What an earlier process left under another fingerprint is discarded, and note told.
func Open(path string, fingerprint run.Fingerprint, note func(string)) (j *Journal, err error) {
	j = &Journal{path: path, kept: map[call]span{}}
	if j.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("eval: %s: %w", path, err), j.f.Close())
			j = nil
		}
	}()
	if err = j.takeUp(fingerprint, note); err != nil {
		return j, err
	}
	j.found = len(j.kept)
	if err = j.f.Truncate(j.size); err != nil {
		return j, err
	}
	if j.size == 0 {
		if _, err = j.append(journalHead{run.JournalVersion, fingerprint}); err != nil {
			return j, err
		}
		err = atomicfile.SyncDir(filepath.Dir(path))
	}
	return j, err
}

// takeUp reads what an earlier process left.
func (j *Journal) takeUp(fingerprint run.Fingerprint, note func(string)) error {
	in := bufio.NewReaderSize(j.f, 1<<16)
	head, err := in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return nil // not even begun
	}
	if err != nil {
		return err
	}
	var h journalHead
	switch {
	case json.Unmarshal(head, &h) != nil || h.Journal != run.JournalVersion:
		note(fmt.Sprintf("%s: of another version, discarded: it is measured from the start", filepath.Base(j.path)))
		return nil
	case !h.Fingerprint.Equal(fingerprint):
		note(fmt.Sprintf("%s: begun under other terms (%s), discarded: it is measured from the start",
			filepath.Base(j.path), h.Fingerprint.Difference(fingerprint)))
		return nil
	}
	j.size = int64(len(head))
	damaged, err := j.read(in)
	if err != nil {
		return err
	}
	if damaged {
		stat, err := j.f.Stat()
		if err != nil {
			return err
		}
		note(fmt.Sprintf("%s: %d bytes of it are damaged: what they held is measured again", filepath.Base(j.path),
			stat.Size()-j.size))
	}
	return nil
}

// read takes over whole lines, up to the first that is damaged. A last line without an end is
// what a killed process was writing, and no damage.
func (j *Journal) read(in *bufio.Reader) (damaged bool, err error) {
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		var l journalLine
		var c call
		if json.Unmarshal(line, &l) != nil || len(l.Call) != 2*len(c) || len(l.Answer) == 0 {
			return true, nil
		}
		if _, err := hex.Decode(c[:], []byte(l.Call)); err != nil {
			return true, nil
		}
		j.kept[c] = span{j.size, len(line)}
		j.size += int64(len(line))
	}
}

// answer reads a kept answer.
func (j *Journal) answer(s span, into any) error {
	line := make([]byte, s.length)
	if _, err := j.f.ReadAt(line, s.at); err != nil {
		return err
	}
	var l journalLine
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	return json.Unmarshal(l.Answer, into)
}

// append writes one line and makes it durable; what a full disk cut short is removed.
func (j *Journal) append(v any) (span, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return span{}, err
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
		return span{}, err
	}
	s := span{j.size, len(line)}
	j.size += int64(len(line))
	return s, nil
}

// Found is the number of answers that an earlier process has left.
func (j *Journal) Found() int { return j.found }

// Replayed tells whether the last answer came from the file.
func (j *Journal) Replayed() bool { return j != nil && j.replayed }

// Close closes the file; it stays for the next process.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	return j.f.Close()
}

// Remove deletes the file of a measurement whose result is written.
func (j *Journal) Remove() error {
	if j == nil {
		return nil
	}
	if err := errors.Join(j.f.Close(), os.Remove(j.path)); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// recall gives the kept answer to a question, or asks and keeps the answer. who and
// what name the model and the question.
func recall[A any](j *Journal, who, kind string, what any, ask func() (A, error)) (answer A, err error) {
	if j == nil {
		return ask()
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode([]any{who, kind, what}); err != nil {
		return answer, fmt.Errorf("journal: %w", err)
	}
	c := call(h.Sum(nil))
	if s, ok := j.kept[c]; ok {
		if err := j.answer(s, &answer); err != nil {
			return answer, fmt.Errorf("%s: an answer in it cannot be read: %w (remove the file, or start again "+
				"with --fresh)", j.path, err)
		}
		j.replayed = true
		return answer, nil
	}
	if answer, err = ask(); err != nil {
		return answer, err
	}
	j.replayed = false
	raw, err := json.Marshal(answer)
	var unsupported *json.UnsupportedValueError
	if errors.As(err, &unsupported) {
		// Not a finite number: whoever asked refuses it, or a later process asks again.
		return answer, nil
	}
	if err != nil {
		return answer, fmt.Errorf("journal: %w", err)
	}
	s, err := j.append(journalLine{hex.EncodeToString(c[:]), raw})
	if err != nil {
		return answer, fmt.Errorf("keeping what was measured: %w", err)
	}
	j.kept[c] = s
	return answer, nil
}
