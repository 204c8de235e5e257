package run

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/atomicfile"
)

// Names inside a checkpoint folder.
const (
	optimizerFile = "optimizer.safetensors"
	stateFile     = "state.json"
	bestLink      = "best"
)

// checkpointFormat is the layout of state.json this program reads and writes.
const checkpointFormat = 1

// Checkpoint is everything a run needs to go on bit for bit.
type Checkpoint struct {
	// Step counts optimizer steps done.
	Step int64
	// Learner holds the trained parameters and Adam's moments, exactly.
	Learner *lm.State
	// Adapter is the same parameters in the form other programs load; nil: no
	// adapter.gguf is written.
	Adapter *adapter.Adapter
	// Trainer is the trainer's own state.
	Trainer json.RawMessage
	// Best makes this the best checkpoint so far, which is kept beside the last ones
	// and found under checkpoints/best.
	Best bool

	metricsBytes, samplesBytes int64
}

// state is state.json.
type state struct {
	Format       int             `json:"format"`
	Step         int64           `json:"step"`
	Stage        string          `json:"stage"`
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	Time         string          `json:"time"`
	MetricsBytes int64           `json:"metrics_bytes"`
	SamplesBytes int64           `json:"samples_bytes"`
	Files        map[string]file `json:"files"`
	Trainer      json.RawMessage `json:"trainer"`
	// Self is the SHA-256 of this file as it is written with Self empty.
	Self string `json:"self"`
}

type file struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// errDamaged marks a checkpoint that is not as it was written.
var errDamaged = errors.New("damaged")

func stepName(step int64) string { return fmt.Sprintf("step-%06d", step) }

// Checkpoint writes checkpoints/step-NNNNNN: aside, synced, renamed. Then older ones
// are removed, down to Options.Keep and the best.
func (r *Folder) Checkpoint(c Checkpoint) error {
	if c.Learner == nil {
		return errors.New("checkpoint: no learner state")
	}
	dir := r.Path(CheckpointsDir)
	final := filepath.Join(dir, stepName(c.Step))
	tmp := filepath.Join(dir, ".tmp-"+stepName(c.Step))
	err := os.RemoveAll(tmp)
	if err == nil {
		err = r.writeCheckpoint(tmp, c)
	}
	if err == nil {
		err = r.install(tmp, final)
	}
	if err == nil && c.Best {
		err = r.link(stepName(c.Step))
	}
	if err != nil {
		return errors.Join(r.explain(final, err), os.RemoveAll(tmp))
	}
	if err := r.clock.save(); err != nil {
		return r.explain(r.Path(InfoFile), err)
	}
	return r.prune()
}

func (r *Folder) writeCheckpoint(tmp string, c Checkpoint) (err error) {
	if err := os.Mkdir(tmp, 0o777); err != nil {
		return err
	}
	s := state{
		Format: checkpointFormat, Step: c.Step, Stage: r.opt.Stage, Name: r.opt.Name, Version: r.opt.Version,
		Time: time.Now().UTC().Format(time.RFC3339), Files: map[string]file{}, Trainer: c.Trainer,
	}
	s.Files[optimizerFile], err = writeHashed(filepath.Join(tmp, optimizerFile), func(w io.Writer) error {
		return writeState(w, c.Learner)
	})
	if err != nil {
		return err
	}
	if c.Adapter != nil {
		data, err := c.Adapter.Bytes()
		if err != nil {
			return err
		}
		s.Files[AdapterFile], err = writeHashed(filepath.Join(tmp, AdapterFile), func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	// The logs must be on disk before a checkpoint that counts on their sizes.
	if s.MetricsBytes, err = r.Metrics.file.sync(); err != nil {
		return err
	}
	if s.SamplesBytes, err = r.samples.sync(); err != nil {
		return err
	}
	data, err := s.encode()
	if err != nil {
		return err
	}
	_, err = writeHashed(filepath.Join(tmp, stateFile), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	return err
}

// encode seals the state with its own hash.
func (s state) encode() ([]byte, error) {
	if s.Trainer == nil {
		s.Trainer = json.RawMessage("null")
	}
	s.Self = ""
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stateFile, err)
	}
	sum := sha256.Sum256(data)
	s.Self = hex.EncodeToString(sum[:])
	data, err = json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// writeHashed writes and syncs a new file.
func writeHashed(path string, write func(io.Writer) error) (file, error) {
	f, err := os.Create(path)
	if err != nil {
		return file{}, err
	}
	h := &counter{hash: sha256.New()}
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<18)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return file{h.n, h.sum()}, errors.Join(err, f.Close())
}

// counter is a hash that counts.
type counter struct {
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.hash.Write(p)
}

func (c *counter) sum() string { return hex.EncodeToString(c.hash.Sum(nil)) }

// install puts a written checkpoint in its place; one of the same step makes room but
// is there until the new one is.
func (r *Folder) install(tmp, final string) error {
	old := filepath.Join(filepath.Dir(final), ".old-"+filepath.Base(final))
	if _, err := os.Stat(final); err == nil {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
		if err := os.Rename(final, old); err != nil {
			return err
		}
	}
	if err := atomicfile.RenameDir(tmp, final); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// link points checkpoints/best at a checkpoint, replacing the link in one step.
func (r *Folder) link(name string) error {
	dir := r.Path(CheckpointsDir)
	tmp := filepath.Join(dir, ".tmp-"+bestLink)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Symlink(name, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, bestLink)); err != nil {
		return err
	}
	return atomicfile.SyncDir(dir)
}

// BestStep is the step of the best checkpoint, or -1.
func (r *Folder) BestStep() int64 {
	name, err := os.Readlink(r.Path(CheckpointsDir, bestLink))
	if err != nil {
		return -1
	}
	step, ok := parseStep(name)
	if !ok {
		return -1
	}
	return step
}

// Best reads the best checkpoint; nil without an error if none was marked.
func (r *Folder) Best() (*Checkpoint, error) {
	step := r.BestStep()
	if step < 0 {
		return nil, nil
	}
	return r.load(step)
}

func parseStep(name string) (int64, bool) {
	var step int64
	if _, err := fmt.Sscanf(name, "step-%d", &step); err != nil || step < 0 || stepName(step) != name {
		return 0, false
	}
	return step, true
}

// steps lists the checkpoints, newest first.
func (r *Folder) steps() ([]int64, error) {
	entries, err := os.ReadDir(r.Path(CheckpointsDir))
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		if step, ok := parseStep(e.Name()); ok && e.IsDir() {
			out = append(out, step)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

func (r *Folder) prune() error {
	steps, err := r.steps()
	if err != nil {
		return err
	}
	best := r.BestStep()
	for i, step := range steps {
		if i >= r.opt.Keep && step != best {
			if err := r.remove(step); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes a checkpoint so that a kill in between leaves no half of it behind.
func (r *Folder) remove(step int64) error {
	tmp := r.Path(CheckpointsDir, ".tmp-gone-"+stepName(step))
	if err := os.Rename(r.Path(CheckpointsDir, stepName(step)), tmp); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// cleanCheckpoints removes what a kill left: unfinished folders, and the predecessor of
// a checkpoint of the same step, which is put back if its successor did not arrive.
func (r *Folder) cleanCheckpoints() error {
	dir := r.Path(CheckpointsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("run folder %s: %w", r.dir, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".old-"):
			final := filepath.Join(dir, strings.TrimPrefix(e.Name(), ".old-"))
			if _, statErr := os.Stat(final); errors.Is(statErr, fs.ErrNotExist) {
				err = os.Rename(path, final)
			} else {
				err = os.RemoveAll(path)
			}
		case strings.HasPrefix(e.Name(), ".tmp-"):
			err = os.RemoveAll(path)
		}
		if err != nil {
			return fmt.Errorf("run folder %s: %w", r.dir, err)
		}
	}
	return nil
}
