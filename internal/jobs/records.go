package jobs

import (
	"path/filepath"

	"steer/internal/filehash"
	"steer/internal/run"
)

// recordsIntact tells whether the records that the result of an evaluation speaks of are as
// they were when it ended. The evaluation measures what is missing or changed again. Results of
// former versions hold no hashes: their files have to be there.
func recordsIntact(dir string, result run.Result) bool {
	e, ok := result.(*run.Evaluation)
	if !ok {
		return true // another stage has none
	}
	for _, b := range e.Benchmarks {
		if !fileIntact(dir, b.Provenance.Items, b.Provenance.ItemsSHA256) {
			return false
		}
	}
	return e.CrossReward == nil || fileIntact(dir, e.CrossReward.Items, e.CrossReward.ItemsSHA256)
}

func fileIntact(dir, name, sum string) bool {
	if name == "" {
		return true // a measurement without records
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if sum == "" {
		return Exists(path)
	}
	got, err := filehash.Sum(path)
	return err == nil && got == sum
}
