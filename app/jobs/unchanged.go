package jobs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/internal/conf"
	"steer/internal/filehash"
	"steer/rl/run"
)

// mayChange lists the keys that say how a stage is computed and how often it is saved,
// not what comes out of it: a run may be resumed, and its result kept, under other values.
// Micro-batches and the device change the order of sums, nothing else.
var mayChange = []string{
	"engine.device", "engine.threads", "engine.keep_activations",
	"micro_batch_size", "micro_batch_tokens", "checkpoint_every",
}

// Finished tells whether the run folder dir holds the result of exactly this
// configuration, inputs included, and the adapter and the records that the result speaks of.
func Finished(dir string, cfg any) (bool, error) {
	if !run.HasResult(dir) {
		return false, nil
	}
	diff, err := Changes(dir, cfg)
	if err != nil || len(diff) > 0 {
		return false, err
	}
	result, err := resultOf(dir)
	return result != nil && adapterIntact(dir, result) && recordsIntact(dir, result), err
}

// resultOf reads the result of a run folder; one that cannot be read is none, nil. One of another
// version is an error: it is not for this program to make it again.
func resultOf(dir string) (run.Result, error) {
	result, err := run.ReadResult(dir)
	if errors.Is(err, run.ErrVersion) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return result, nil
}

// AdapterIntact tells whether adapter.gguf in a run folder is the one its result names.
// It is made again from the last checkpoint where it is not.
func AdapterIntact(dir string) (bool, error) {
	result, err := resultOf(dir)
	return result != nil && adapterIntact(dir, result), err
}

func adapterIntact(dir string, result run.Result) bool {
	a := result.Common().Adapter
	if a == nil {
		return true // a stage without an adapter
	}
	sum, err := filehash.Sum(filepath.Join(dir, run.AdapterFile))
	return err == nil && sum == a.SHA256
}

// Changes lists what differs between the configuration in a run folder and cfg, other
// than what may and paths of files that were moved. A folder without a configuration differs in
// nothing yet.
func Changes(dir string, cfg any) ([]conf.Change, error) {
	diff, err := difference(dir, cfg)
	return without(diff, slices.Concat(mayChange, moved(diff))), err
}

// OnlyInputs tells whether the configuration is as it was, but not the content of files. To go on
// would mix the two, and nobody can set a file's hash back.
func OnlyInputs(diff []conf.Change) bool {
	return !slices.ContainsFunc(diff, func(c conf.Change) bool { return !strings.HasPrefix(c.Key, "inputs.") })
}

// without leaves the changes of the given keys out.
func without(diff []conf.Change, keys []string) []conf.Change {
	return slices.DeleteFunc(diff, func(c conf.Change) bool { return slices.Contains(keys, c.Key) })
}

// moved lists the keys under which files lie elsewhere than when the run began, if the content
// of all that goes into it is as it was: inputs go by their hashes, not by their places.
func moved(diff []conf.Change) (keys []string) {
	for _, c := range diff {
		switch {
		case strings.HasPrefix(c.Key, "inputs."):
			return nil
		case filepath.IsAbs(c.Old) && filepath.IsAbs(c.New):
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// difference is Changes with all that differs, but what was derived.
func difference(dir string, cfg any) ([]conf.Change, error) {
	old, err := os.ReadFile(filepath.Join(dir, run.ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	want, err := conf.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	diff, err := conf.Diff(old, want)
	return configured(diff), err
}

// recordsIntact tells whether the records that the result of an evaluation speaks of, or the preferences of a
// judge, are as they were when it ended. The evaluation measures what is missing or changed again. Results of
// former versions hold no hashes: their files have to be there.
func recordsIntact(dir string, result run.Result) bool {
	if j, ok := result.(*run.Judge); ok {
		return fileIntact(dir, run.JudgedFile, j.JudgedSHA256)
	}
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
		return run.Exists(path)
	}
	got, err := filehash.Sum(path)
	return err == nil && got == sum
}
