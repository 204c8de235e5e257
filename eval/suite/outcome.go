package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"steer/eval/journal"
	"steer/eval/result"
	"steer/internal/atomicfile"
	"steer/internal/filehash"
)

// outcomeVersion is the version of the file's form.
const outcomeVersion = 1

// outcome is what one measurement left beside its records: a suite that is begun
// again takes it up as it is, as long as nothing that moves its numbers has changed.
type outcome struct {
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"` // YAML
	// Records is the SHA-256 of the records file.
	Records     string              `json:"records_sha256"`
	Benchmark   *result.Measurement `json:"benchmark,omitempty"`
	CrossReward *result.CrossReward `json:"cross_reward,omitempty"`
	Samples     []result.Sample     `json:"samples,omitempty"` // of the matrix
}

// The files of a measurement whose records are in items/NAME.jsonl.zst.
func outcomeFile(records string) string { return strings.TrimSuffix(records, recordSuffix) + ".json" }
func journalFile(records string) string { return strings.TrimSuffix(records, recordSuffix) + ".part" }

// readOutcome gives the outcome of a finished measurement, nil if there is none that holds:
// the reason, if it is more than that nothing was measured yet, is told.
func readOutcome(records, fingerprint string, note func(string)) (*outcome, error) {
	raw, err := os.ReadFile(outcomeFile(records))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	again := func(format string, args ...any) (*outcome, error) {
		note(fmt.Sprintf("%s: measured again, since ", strings.TrimSuffix(filepath.Base(records), recordSuffix)) + fmt.Sprintf(format, args...))
		return nil, nil
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return again("its result cannot be read (%v)", err)
	}
	if version.Version != outcomeVersion {
		return again("its result is of version %d, not %d", version.Version, outcomeVersion)
	}
	o, err := decodeOutcome(raw)
	if err != nil {
		return again("its result cannot be read (%v)", err)
	}
	if o.Fingerprint != fingerprint {
		return again("%s", journal.Difference(o.Fingerprint, fingerprint))
	}
	if sum, err := filehash.Sum(records); err != nil || sum != o.Records {
		return again("its records are not those it ended with")
	}
	return o, nil
}

// decodeOutcome keeps numbers of the provenance as they are written, seeds of 64 bits
// among them.
func decodeOutcome(raw []byte) (*outcome, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	o := &outcome{}
	if err := dec.Decode(o); err != nil {
		return nil, err
	}
	return o, nil
}

// write stores the outcome of a measurement whose records are stored and returns it as a
// later process will read it.
func (o *outcome) write(records string) (*outcome, error) {
	o.Version = outcomeVersion
	raw, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("eval: %s: %w", outcomeFile(records), err)
	}
	if err := atomicfile.WriteFile(outcomeFile(records), append(raw, '\n'), 0o666); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return decodeOutcome(raw)
}
