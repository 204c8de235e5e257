package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"steer/internal/filehash"
	"steer/rl/run"
)

// readOutcome gives the outcome of a finished measurement, nil if there is none that holds:
// the reason, if it is more than that nothing was measured yet, is told.
func readOutcome(records string, now run.Fingerprint, note func(string)) (*run.Outcome, error) {
	raw, err := os.ReadFile(run.OutcomeFile(records))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	again := func(format string, args ...any) (*run.Outcome, error) {
		name := strings.TrimSuffix(filepath.Base(records), run.RecordsSuffix)
		note(fmt.Sprintf("%s: measured again, since ", name) + fmt.Sprintf(format, args...))
		return nil, nil
	}
	o, err := run.ParseOutcome(raw)
	switch {
	case errors.Is(err, run.ErrVersion):
		return again("its result is %v", err)
	case err != nil:
		return again("its result cannot be read (%v)", err)
	case !o.Fingerprint.Equal(now):
		return again("%s", o.Fingerprint.Difference(now))
	}
	if sum, err := filehash.Sum(records); err != nil || sum != o.Records {
		return again("its records are not those it ended with")
	}
	return o, nil
}
