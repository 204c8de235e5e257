package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	_ "github.com/ollama/ollama/version" // so that the build info names the module whose llama.cpp is built in

	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/filehash"
	"steer/rl/run"
)

// stage is a run folder being worked in.
type stage struct {
	folder *run.Folder // nil without a folder: nothing is kept
	con    Console
	name   string
	from   Sources
}

// openStage opens the run folder of a stage; without one, "", nothing is kept of what it does.
func openStage(w *workspace.Workspace, con Console, job Job, name, dir string, fresh bool) (*stage, error) {
	if dir == "" {
		return &stage{con: con, name: name}, nil
	}
	if old := run.ReadInfo(dir).Stage; old != "" && old != string(job.Kind()) && !fresh {
		return nil, fmt.Errorf("run folder %s: holds a run of %s, not of %s: choose another with --out, or forget "+
			"that one with --fresh", dir, old, job.Kind())
	}
	diff, unread := difference(dir, job) // why it cannot be read, the run folder's own look says
	may := slices.Concat(mayChange, moved(diff), []string{derivedKey, sourcesKey})
	if job.Kind() == EvalKind || job.Kind() == JudgeKind {
		may = []string{run.AnyKey} // each measurement, each answer of a judge knows what it depends on
	} else if unread == nil && len(without(diff, may)) > 0 && !run.HasResult(dir) && !run.HasCheckpoint(dir) {
		fresh = true // nothing was trained yet that the old configuration could be kept for
	}
	folder, err := run.Open(dir,
		run.Options{
			Stage: string(job.Kind()), Name: name, Version: con.Version, Config: job, Fresh: fresh, MayChange: may})
	if err != nil {
		return nil, err
	}
	if was := folder.Renamed(); was != "" {
		con.Progress.Note(fmt.Sprintf("%s: this run was called %s: "+
			"its folder was renamed or moved, and it goes on as %s",
			name, was, name))
	}
	w.Notice(con.Progress)
	return &stage{folder: folder, con: con, name: name, from: *job.From()}, nil
}

func (s *stage) close() error {
	if s.folder == nil {
		return nil
	}
	return s.folder.Close()
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

// finish writes result.json: the stage's own result with the common record filled in.
func (s *stage) finish(w *workspace.Workspace, inputs Inputs, result run.Result) error {
	if s.folder == nil {
		return nil
	}
	r := result.Common()
	s.folder.Describe(r)
	if r.Status == "" {
		r.Status = run.StatusFinished
	}
	info := w.Model.Info()
	r.Base = &run.Base{
		Path: info.Path, SHA256: inputs["model"], Name: info.Description, Architecture: info.Shape.Arch,
		Parameters: info.Params,
	}
	r.Device, r.Precision, r.Kernel = w.Device(), string(w.Engine.Precision), w.Kernel()
	r.Versions, r.Command, r.Inputs = versions(s.con.Version), s.con.Command, inputs
	r.Sources = s.from
	path := s.folder.Path(run.AdapterFile)
	switch sum, err := filehash.Sum(path); {
	case err == nil:
		r.Adapter = &run.Adapter{Path: run.AdapterFile, SHA256: sum}
	case !errors.Is(err, fs.ErrNotExist): // an evaluation writes none
		return fmt.Errorf("%s: adapter: %w", s.name, err)
	}
	return s.folder.Finish(result)
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
