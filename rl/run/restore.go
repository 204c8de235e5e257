package run

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"steer/ggml/adapter"
	"steer/internal/filehash"
)

// Latest reads the newest intact checkpoint: nil without an error in a new run. A
// damaged one is passed over with a warning and the one before it is used; that none is
// intact is an error, for starting over silently would cost the run.
func (r *Folder) Latest() (c *Checkpoint, warnings []string, err error) {
	steps, err := r.steps()
	if err != nil {
		return nil, nil, fmt.Errorf("run folder %s: %w", r.dir, err)
	}
	for _, step := range steps {
		c, err := r.load(step)
		if err == nil {
			if len(warnings) > 0 {
				warnings = append(warnings, fmt.Sprintf("going on from the checkpoint before: step %d", step))
			}
			return c, warnings, nil
		}
		if !errors.Is(err, errDamaged) {
			return nil, warnings, err
		}
		warnings = append(warnings, err.Error())
	}
	if len(steps) > 0 {
		return nil, warnings, fmt.Errorf("run folder %s: no checkpoint is intact: %s: "+
			"start over in it (fresh) or choose another", r.dir, strings.Join(warnings, "; "))
	}
	return nil, warnings, nil
}

// load reads and verifies one checkpoint. Errors of its content wrap errDamaged.
func (r *Folder) load(step int64) (*Checkpoint, error) {
	dir := r.Path(CheckpointsDir, stepName(step))
	damaged := func(name string, err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("checkpoint %s: %s: %w", dir, name, err)
		}
		return fmt.Errorf("checkpoint %s is %w: %s: %w", dir, errDamaged, name, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, damaged(stateFile, err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, damaged(stateFile, err)
	}
	if s.Format > checkpointFormat {
		return nil, fmt.Errorf("checkpoint %s: format %d of a newer program (%s), this one reads %d",
			dir, s.Format, s.Version, checkpointFormat)
	}
	if again, err := s.encode(); err != nil || string(again) != string(data) {
		return nil, damaged(stateFile, errors.New("SHA-256 differs"))
	}
	if s.Step != step {
		return nil, damaged(stateFile, fmt.Errorf("holds step %d", s.Step))
	}
	for name, want := range s.Files {
		if err := verify(filepath.Join(dir, name), want); err != nil {
			return nil, damaged(name, err)
		}
	}
	c := &Checkpoint{
		Step: s.Step, Trainer: s.Trainer, Best: r.BestStep() == step,
		metricsBytes: s.MetricsBytes, samplesBytes: s.SamplesBytes,
	}
	f, err := os.Open(filepath.Join(dir, optimizerFile))
	if err != nil {
		return nil, damaged(optimizerFile, err)
	}
	defer f.Close()
	if c.Learner, err = readState(bufio.NewReaderSize(f, 1<<18), s.Files[optimizerFile].Bytes); err != nil {
		return nil, damaged(optimizerFile, err)
	}
	if _, ok := s.Files[AdapterFile]; ok {
		if c.Adapter, err = adapter.Load(filepath.Join(dir, AdapterFile)); err != nil {
			return nil, damaged(AdapterFile, err)
		}
	}
	return c, nil
}

func verify(path string, want file) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, bytes, err := filehash.Of(f)
	if err != nil {
		return err
	}
	if bytes != want.Bytes {
		return fmt.Errorf("%d bytes, want %d", bytes, want.Bytes)
	}
	if sum != want.SHA256 {
		return errors.New("SHA-256 differs")
	}
	return nil
}

// Rewind brings the run folder back to checkpoint c (nil: to the start): metrics and
// samples written after it are cut off, later checkpoints removed.
func (r *Folder) Rewind(c *Checkpoint) error {
	at := Checkpoint{Step: -1}
	if c != nil {
		at = *c
	}
	if err := r.Metrics.file.cut(at.metricsBytes); err != nil {
		return err
	}
	if err := r.samples.cut(at.samplesBytes); err != nil {
		return err
	}
	steps, err := r.steps()
	if err != nil {
		return err
	}
	for _, step := range steps {
		if step > at.Step {
			if err := r.remove(step); err != nil {
				return err
			}
		}
	}
	if r.BestStep() > at.Step {
		// The run will come by it again and mark it again.
		return os.Remove(r.Path(CheckpointsDir, bestLink))
	}
	return nil
}
