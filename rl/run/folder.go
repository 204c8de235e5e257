package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"steer/ggml/adapter"
	"steer/internal/atomicfile"
	"steer/internal/conf"
)

// AnyKey in Options.MayChange stands for every key.
const AnyKey = "*"

// ErrConfigChanged: the run folder was started with another configuration.
var ErrConfigChanged = errors.New("the configuration has changed since this run was started")

// Options says what run a folder holds.
type Options struct {
	// Stage is the kind of job: "sft", "reward", "ppo", "dpo", "eval".
	Stage string
	// Name tells runs of one stage apart: "deontology".
	Name string
	// Version of the program, for the record.
	Version string
	// Config is the resolved configuration; config.yaml is conf.Marshal of it.
	Config any
	// Fresh forgets an earlier run in the folder instead of resuming it. Only files
	// that a run writes are removed.
	Fresh bool
	// MayChange lists configuration keys (or their parents) that may differ from the
	// earlier run's when it is resumed: "max_steps", "log"; AnyKey for all of them.
	MayChange []string
	// Keep is the number of checkpoints kept beside the best; 0 means 2.
	Keep int
}

// Folder is a locked run folder; see docs/files.md for its files.
type Folder struct {
	// Metrics is metrics.jsonl.
	Metrics *Metrics

	dir     string
	opt     Options
	lock    *os.File
	samples *appendFile
	renamed string
	clock   *clock
}

// Open creates the folder dir or opens an earlier run in it, and locks it. A second
// process gets ErrLocked with the holder's pid; a resumed run whose configuration
// differs gets ErrConfigChanged with the changed keys.
func Open(dir string, opt Options) (r *Folder, err error) {
	if opt.Keep == 0 {
		opt.Keep = 2
	}
	if err := os.MkdirAll(filepath.Join(dir, CheckpointsDir), 0o777); err != nil {
		return nil, fmt.Errorf("run folder %s: cannot be made: %w", dir, err)
	}
	lock, err := lockDir(dir, "run folder")
	if err != nil {
		return nil, err
	}
	r = &Folder{dir: dir, opt: opt, lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
			r = nil
		}
	}()
	if opt.Fresh {
		if err := r.forget(); err != nil {
			return r, err
		}
	}
	if err := r.clean(); err != nil {
		return r, err
	}
	if err := r.settleConfig(); err != nil {
		return r, err
	}
	if err := r.writeInfo(); err != nil {
		return r, err
	}
	metrics, err := openAppend(r, MetricsFile)
	if err != nil {
		return r, err
	}
	r.Metrics = &Metrics{file: metrics, now: time.Now}
	r.samples, err = openAppend(r, SamplesFile)
	return r, err
}

// Dir is the run folder.
func (r *Folder) Dir() string { return r.dir }

// Resumed is how many times the run was opened before.
func (r *Folder) Resumed() int { return len(r.clock.info.Opened) - 1 }

// Sittings are the seconds that the run has been worked on, each time it was opened, this one
// included. After a kill that time lacks what came after the last record: that of the last
// checkpoint, or of the last ten seconds.
func (r *Folder) Sittings() []float64 { return r.clock.sittings() }

// Renamed is the name the run had when it was last opened, if that was another.
func (r *Folder) Renamed() string { return r.renamed }

// Path joins names to the run folder.
func (r *Folder) Path(names ...string) string {
	return filepath.Join(append([]string{r.dir}, names...)...)
}

// Close releases the files and the lock; the folder can be opened again.
func (r *Folder) Close() error {
	var errs []error
	if r.Metrics != nil {
		errs = append(errs, r.Metrics.file.close())
		r.Metrics = nil
	}
	if r.samples != nil {
		errs = append(errs, r.samples.close())
		r.samples = nil
	}
	if r.clock != nil {
		r.clock.stop()
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
		r.lock = nil
	}
	return errors.Join(errs...)
}

// Sample appends records to samples.jsonl.zst, one JSON line each, as one zstd frame:
// what is written can be read at once, and a kill costs at most this call's records.
func (r *Folder) Sample(records ...any) error { return appendSamples(r.samples, records) }

// SaveAdapter writes the run's product, adapter.gguf in the run folder, and returns its
// path.
func (r *Folder) SaveAdapter(a *adapter.Adapter) (string, error) {
	path := r.Path(AdapterFile)
	return path, r.explain(path, a.Save(path))
}

// Describe fills in what the folder knows of its run.
func (r *Folder) Describe(record *Record) {
	record.Stage, record.Name, record.Version = r.opt.Stage, r.opt.Name, ResultVersion
	record.Sittings, record.Seconds, record.Resumed = r.Sittings(), 0, r.Resumed()
	for _, t := range record.Sittings {
		record.Seconds += t
	}
}

// Finish writes result.json, which marks the run as done.
func (r *Folder) Finish(result Result) error {
	data, err := encodeResult(result)
	if err != nil {
		return fmt.Errorf("%s: %w", ResultFile, err)
	}
	path := r.Path(ResultFile)
	return r.explain(path, atomicfile.WriteFile(path, data, 0o666))
}

// Finished reports whether the run has its result.
func (r *Folder) Finished() bool {
	return HasResult(r.dir)
}

// forget removes what an earlier run wrote, its result first.
func (r *Folder) forget() error {
	for _, name := range Files() {
		if err := os.RemoveAll(r.Path(name)); err != nil {
			return fmt.Errorf("run folder %s: %w", r.dir, err)
		}
	}
	if err := os.Mkdir(r.Path(CheckpointsDir), 0o777); err != nil {
		return fmt.Errorf("run folder %s: %w", r.dir, err)
	}
	return nil
}

// clean removes what a killed process left half done.
func (r *Folder) clean() error {
	if err := atomicfile.RemoveLeftovers(r.dir); err != nil {
		return fmt.Errorf("run folder %s: %w", r.dir, err)
	}
	return r.cleanCheckpoints()
}

// settleConfig writes config.yaml, or compares with the one that is there.
func (r *Folder) settleConfig() error {
	data, err := conf.Marshal(r.opt.Config)
	if err != nil {
		return err
	}
	path := r.Path(ConfigFile)
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if steps, err := r.steps(); err != nil || len(steps) > 0 {
			return errors.Join(err, fmt.Errorf("run folder %s: has checkpoints but no %s: "+
				"start over in it (fresh) or choose another", r.dir, ConfigFile))
		}
		return r.explain(path, atomicfile.WriteFile(path, data, 0o666))
	}
	if err != nil {
		return fmt.Errorf("run folder %s: %w", r.dir, err)
	}
	changes, err := conf.Diff(old, data)
	if err != nil {
		return fmt.Errorf("%s: %w: start over in this folder (fresh) or choose another", path, err)
	}
	var refused []string
	for _, c := range changes {
		if !slices.ContainsFunc(r.opt.MayChange, func(k string) bool {
			return k == AnyKey || c.Key == k || strings.HasPrefix(c.Key, k+".") || strings.HasPrefix(c.Key, k+"[")
		}) {
			refused = append(refused, c.String())
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("run folder %s: %w: %s: "+
			"choose another folder, start over in this one (fresh), or set these back", r.dir, ErrConfigChanged,
			strings.Join(refused, "; "))
	}
	if len(changes) == 0 {
		return nil
	}
	// The run goes on under new terms: what it had produced is no longer its result.
	if err := os.Remove(r.Path(ResultFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("run folder %s: %w", r.dir, err)
	}
	return r.explain(path, atomicfile.WriteFile(path, data, 0o666))
}

// Info is run.json, which is there from the start.
type Info struct {
	Stage   string `json:"stage"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Opened lists when the run was started and resumed, RFC 3339.
	Opened []string `json:"opened"`
	// Seconds is how long it was then worked on.
	Seconds []float64 `json:"seconds"`
}

// ReadInfo reads the run.json of a run folder. None is nothing known of the run, and so is a damaged
// one, as far as it is: that costs a list of dates.
func ReadInfo(dir string) Info {
	var i Info
	if data, err := os.ReadFile(filepath.Join(dir, InfoFile)); err == nil {
		_ = json.Unmarshal(data, &i)
	}
	return i
}

// writeInfo notes that the run is opened, and starts its clock.
func (r *Folder) writeInfo() error {
	path := r.Path(InfoFile)
	i := ReadInfo(r.dir)
	if i.Stage != "" && i.Stage != r.opt.Stage {
		return fmt.Errorf("run folder %s: holds a run of %s, not of %s: "+
			"choose another folder, or start over in this one (fresh)",
			r.dir, i.Stage, r.opt.Stage)
	}
	// The configuration is the same: under another name it is the same run, in a folder
	// that was moved.
	if i.Stage != "" && i.Name != r.opt.Name {
		r.renamed = i.Name
	}
	i.Stage, i.Name, i.Version = r.opt.Stage, r.opt.Name, r.opt.Version
	i.Opened = append(i.Opened, time.Now().UTC().Format(time.RFC3339))
	for len(i.Seconds) < len(i.Opened) { // a program that kept no times may have opened it before
		i.Seconds = append(i.Seconds, 0)
	}
	i.Seconds = i.Seconds[:len(i.Opened)]
	c := newClock(path, i, time.Now)
	if err := c.save(); err != nil {
		return r.explain(path, err)
	}
	r.clock = c
	c.start()
	return nil
}
