package jobs

import (
	"encoding/json"
	"os"
	"path/filepath"

	"steer/internal/filehash"
	"steer/internal/run"
)

// recordsIntact tells whether the records that the result of an evaluation speaks of are as
// they were when it ended. The evaluation measures what is missing or changed again. Results of
// former versions hold no hashes: their files have to be there.
func recordsIntact(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, run.ResultFile))
	if err != nil {
		return false
	}
	type records struct {
		Items  string `json:"items"`
		SHA256 string `json:"items_sha256"`
	}
	var result struct {
		Benchmarks []struct {
			Provenance records `json:"provenance"`
		} `json:"benchmarks"`
		CrossReward records `json:"cross_reward"`
	}
	if json.Unmarshal(raw, &result) != nil {
		return false
	}
	intact := func(r records) bool {
		if r.Items == "" {
			return true // another stage, or a measurement without records
		}
		path := filepath.Join(dir, filepath.FromSlash(r.Items))
		if r.SHA256 == "" {
			return Exists(path)
		}
		sum, err := filehash.Sum(path)
		return err == nil && sum == r.SHA256
	}
	for _, b := range result.Benchmarks {
		if !intact(b.Provenance) {
			return false
		}
	}
	return intact(result.CrossReward)
}
