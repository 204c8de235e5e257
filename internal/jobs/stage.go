package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	_ "github.com/ollama/ollama/version" // so that the build info names the module whose llama.cpp is built in

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/atomicfile"
	"steer/internal/conf"
	"steer/internal/filehash"
	"steer/internal/run"
	"steer/internal/workspace"
	"steer/rl/data"
)

// resultVersion is the version of result.json that docs/report.md describes.
const resultVersion = 1

// Inputs holds the SHA-256 of every file a stage reads, by role. It is part of the
// stage's resolved configuration.
type Inputs map[string]string

// add hashes a file, or every file of a folder.
func (in Inputs) add(hashes *filehash.Cache, role, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	sum := hashes.Sum
	if st.IsDir() {
		sum = filehash.Folder
	}
	if in[role], err = sum(path); err != nil {
		delete(in, role)
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// inputsOf hashes models and adapters, and data files, by role; an empty path is none.
// A data file is found as its reader finds it, packed or not.
func inputsOf(hashes *filehash.Cache, files, sources map[string]string) (Inputs, error) {
	in := Inputs{}
	var errs []error
	for _, role := range slices.Sorted(maps.Keys(files)) {
		if path := files[role]; path != "" {
			errs = append(errs, in.add(hashes, role, path))
		}
	}
	for _, role := range slices.Sorted(maps.Keys(sources)) {
		if sources[role] == "" {
			continue
		}
		path, err := data.Resolve(sources[role])
		if err != nil {
			err = fmt.Errorf("%s: %w", role, err)
		} else {
			err = in.add(hashes, role, path)
		}
		errs = append(errs, err)
	}
	return in, errors.Join(errs...)
}

// mayChange lists the keys that say how a stage is computed and how often it is saved,
// not what comes out of it: a run may be resumed, and its result kept, under other values.
// Micro-batches and the device change the order of sums, nothing else.
var mayChange = []string{"engine.device", "engine.threads", "engine.keep_activations", "micro_batch_size", "micro_batch_tokens", "checkpoint_every"}

// Finished tells whether the run folder dir holds the result of exactly this
// configuration, inputs included, and the adapter and the records that the result speaks of.
func Finished(dir string, cfg any) (bool, error) {
	if !HasResult(dir) {
		return false, nil
	}
	diff, err := Changes(dir, cfg)
	return err == nil && len(diff) == 0 && AdapterIntact(dir) && recordsIntact(dir), err
}

func HasResult(dir string) bool { return Exists(filepath.Join(dir, run.ResultFile)) }

func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func hasCheckpoint(dir string) bool {
	steps, _ := filepath.Glob(filepath.Join(dir, run.CheckpointsDir, "step-*"))
	return len(steps) > 0
}

// AdapterIntact tells whether adapter.gguf in a run folder is the one its result names.
// It is made again from the last checkpoint where it is not.
func AdapterIntact(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, run.ResultFile))
	if err != nil {
		return false
	}
	var result struct {
		Adapter *struct {
			SHA256 string `json:"sha256"`
		} `json:"adapter"`
	}
	if err := json.Unmarshal(raw, &result); err != nil || result.Adapter == nil {
		return err == nil // a stage without an adapter
	}
	in := Inputs{}
	return in.add(nil, "adapter", filepath.Join(dir, run.AdapterFile)) == nil && in["adapter"] == result.Adapter.SHA256
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

// stage is a run folder being worked in.
type stage struct {
	folder *run.Folder // nil without a folder: nothing is kept
	con    Console
	kind   string
	name   string
	record map[string]any // what result.json holds besides the stage's own result
}

// openStage opens the run folder of a stage; without one, "", nothing is kept of what it does.
func openStage(w *workspace.Workspace, con Console, kind, name, dir string, cfg any, fresh bool) (*stage, error) {
	if dir == "" {
		return &stage{con: con, kind: kind, name: name, record: map[string]any{}}, nil
	}
	if old := kindOf(dir); old != "" && old != kind && !fresh {
		return nil, fmt.Errorf("run folder %s: holds a run of %s, not of %s: choose another with --out, or forget that one with --fresh", dir, old, kind)
	}
	diff, unread := difference(dir, cfg) // why it cannot be read, the run folder's own look says
	may := slices.Concat(mayChange, moved(diff), []string{derivedKey})
	if kind == string(EvalKind) {
		may = []string{run.AnyKey} // each measurement knows what it depends on
	} else if unread == nil && len(without(diff, may)) > 0 && !HasResult(dir) && !hasCheckpoint(dir) {
		fresh = true // nothing was trained yet that the old configuration could be kept for
	}
	folder, err := run.Open(dir, run.Options{Stage: kind, Name: name, Version: con.Version, Config: cfg, Fresh: fresh, MayChange: may})
	if err != nil {
		return nil, err
	}
	if was := folder.Renamed(); was != "" {
		con.Progress.Note(fmt.Sprintf("%s: this run was called %s: "+
			"its folder was renamed or moved, and it goes on as %s",
			name, was, name))
	}
	w.Notice(con.Progress)
	return &stage{folder: folder, con: con, kind: kind, name: name, record: map[string]any{}}, nil
}

func (s *stage) close() error {
	if s.folder == nil {
		return nil
	}
	return s.folder.Close()
}

// kindOf is the stage that a run folder belongs to, "" if it cannot be told.
func kindOf(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, run.InfoFile))
	if err != nil {
		return ""
	}
	var info struct {
		Stage string `json:"stage"`
	}
	_ = json.Unmarshal(raw, &info) // a damaged one says nothing
	return info.Stage
}

// adapterOf makes the adapter that checkpoints carry out of a learner's state.
func adapterOf(host *adapter.Adapter, meta map[string]string) func(*lm.State) (*adapter.Adapter, error) {
	return func(st *lm.State) (*adapter.Adapter, error) {
		a := host.Clone()
		if err := a.SetParams(st.Params); err != nil {
			return nil, err
		}
		a.Describe(meta)
		return a, nil
	}
}

// finish writes result.json: the stage's own result with the common record around it.
func (s *stage) finish(w *workspace.Workspace, inputs Inputs, result any) error {
	if s.folder == nil {
		return nil
	}
	merged := map[string]any{}
	raw, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("%s: result: %w", s.name, err)
	}
	whole := json.NewDecoder(bytes.NewReader(raw))
	whole.UseNumber() // a seed has more digits than a float64
	if err := whole.Decode(&merged); err != nil {
		return fmt.Errorf("%s: result: %w", s.name, err)
	}
	maps.Copy(merged, s.record)
	info := w.Model.Info()
	merged["stage"], merged["name"], merged["version"] = s.kind, s.name, resultVersion
	if _, ok := merged["status"]; !ok {
		merged["status"] = "finished"
	}
	sittings, seconds := s.folder.Sittings(), 0.0
	for _, t := range sittings {
		seconds += t
	}
	merged["seconds"], merged["sittings"] = seconds, sittings
	merged["resumed"] = s.folder.Resumed()
	merged["base"] = map[string]any{
		"path": info.Path, "sha256": inputs["model"], "name": info.Description, "architecture": adapter.Arch, "parameters": info.Params,
	}
	merged["device"], merged["precision"], merged["kernel"] = w.Device(), w.Engine.Precision, w.Kernel()
	merged["versions"] = versions(s.con.Version)
	merged["command"] = s.con.Command
	merged["inputs_sha256"] = inputs
	path := s.folder.Path(run.AdapterFile)
	switch sum, err := inputsOf(nil, map[string]string{"adapter": path}, nil); {
	case err == nil:
		merged["adapter"] = map[string]string{"path": run.AdapterFile, "sha256": sum["adapter"]}
	case !errors.Is(err, fs.ErrNotExist): // an evaluation writes none
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return s.folder.Finish(merged)
}

// versions says what computed a result.
func versions(steer string) map[string]string {
	v := map[string]string{"steer": steer, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasSuffix(d.Path, "ollama/ollama") {
				v["llama.cpp"] = d.Path + " " + d.Version
			}
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v["revision"] = s.Value
			}
		}
	}
	return v
}

// WriteConfig writes a resolved configuration beside its runs.
func WriteConfig(path string, cfg any) error {
	raw, err := conf.Marshal(cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, raw, 0o666)
}
