package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"steer/eval/compare"
	"steer/internal/filehash"
	"steer/rl/run"
)

// formerAnswers is the file of the matrix's answers, which results of former versions do not name.
const formerAnswers = run.ItemsDir + "/cross_reward.answers.all" + run.RecordsSuffix

// unusable: records that were measured are not there as they were written.
type unusable struct{ name, why string }

func (u unusable) Error() string {
	return u.name + " " + u.why + ": give the evaluation's command again, which measures what it held anew"
}

// records is the path of a file of records, which is as it was when the evaluation ended. sum is
// its hash in the result; results of former versions have it in the measurement's own file alone.
func (s *Stage) records(name, sum string) (string, error) {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return "", fmt.Errorf("records %q lie outside the run folder", name)
	}
	path := filepath.Join(s.dir, local)
	if sum == "" {
		var m run.Outcome
		text, err := os.ReadFile(run.OutcomeFile(path))
		if err == nil && json.Unmarshal(text, &m) == nil {
			sum = m.Records
		}
	}
	if sum == "" {
		return path, nil // of a version that kept no hash
	}
	got, err := filehash.Sum(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", unusable{name, "is gone"}
	case err != nil:
		return "", unusable{name, "cannot be read (" + err.Error() + ")"}
	case got != sum:
		return "", unusable{name, "is not as the evaluation wrote it (cut, or changed)"}
	}
	return path, nil
}

// answers reads the records of the matrix.
func (s *Stage) answers() ([]run.Answer, error) {
	name := s.eval.CrossReward.Items
	if name == "" {
		name = formerAnswers
	}
	path, err := s.records(name, s.eval.CrossReward.ItemsSHA256)
	if err != nil {
		return nil, err
	}
	return compare.ReadAnswers(path)
}

// flagUntested says that something is not tested, and why: a failure where records are to blame.
func (r *Report) flagUntested(sentence string, err error) {
	severity := Caution
	if errors.As(err, &unusable{}) {
		severity = Failure
	}
	r.flag(severity, "eval", "%s: %s.", sentence, err)
}
