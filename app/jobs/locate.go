package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"steer/app/source"
	"steer/internal/conf"
	"steer/internal/hub"
	"steer/rl/run"
)

// sourcesKey is the key of Sources in every job.
const sourcesKey = "sources"

// Sources says of what came from a hub which file of which commit it is, by key. It is written into
// config.yaml and is no part of what makes two runs the same: their contents are, under inputs.
type Sources map[string]run.Source

// Name is a place in a job that names a file: a path, or a name of the hub.
type Name struct {
	Key  string
	Kind source.Kind
	Text string
	Set  func(path string)
}

// nameAt is a name in a variable.
func nameAt(key string, kind source.Kind, at *string) Name {
	return Name{key, kind, *at, func(path string) { *at = path }}
}

// namesAt are the names in a list.
func namesAt(key string, kind source.Kind, at []string) (names []Name) {
	for i := range at {
		names = append(names, nameAt(fmt.Sprintf("%s[%d]", key, i), kind, &at[i]))
	}
	return names
}

// Pins are what the names of the hub were found to be by runs that were begun, by name.
type Pins map[string]run.Source

// PinsOf reads the pins of run folders; of two for one name the first counts.
func PinsOf(dirs ...string) Pins {
	pins := Pins{}
	for _, dir := range dirs {
		for _, s := range run.ReadSources(dir) {
			if _, ok := pins[s.Name]; !ok && s.Name != "" && hub.IsCommit(s.Commit) {
				pins[s.Name] = s
			}
		}
	}
	return pins
}

// Locate puts paths in place of the names of the hub in a job, before it is resolved, and notes what they
// were. A job that was written down with its sources fetches those again that are no longer there.
func Locate(ctx context.Context, job Job, f *source.Finder, pins Pins) error {
	sources := job.From()
	written := maps.Clone(*sources)
	*sources = nil
	var errs []error
	for _, n := range job.Names() {
		text, pin := n.Text, (*run.Source)(nil)
		if p, ok := pins[text]; ok {
			pin = &p
		}
		if w, ok := written[n.Key]; ok && !hub.IsName(text) && lies(text, w) {
			if _, err := os.Stat(text); err == nil {
				keep(sources, n.Key, w)
				continue
			} else if errors.Is(err, fs.ErrNotExist) {
				text, pin = w.Name, &w
			}
		}
		path, s, err := f.Find(ctx, n.Kind, text, pin)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", n.Key, err))
		case s != nil:
			n.Set(path)
			keep(sources, n.Key, *s)
		}
	}
	return errors.Join(errs...)
}

func keep(sources *Sources, key string, s run.Source) {
	if *sources == nil {
		*sources = Sources{}
	}
	(*sources)[key] = s
}

// lies tells whether a path is where a cache of the hub has a source.
func lies(path string, s run.Source) bool {
	r, ok := hub.Origin(filepath.ToSlash(path))
	name, err := hub.Parse(s.Name)
	return ok && err == nil && r.ID == name.ID && r.Dataset == name.Dataset && r.Revision == s.Commit &&
		r.File == s.File
}

// written leaves out of a comparison what a run writes into its configuration to be read, not compared.
func written(diff []conf.Change) []conf.Change {
	var out []conf.Change
	for _, c := range diff {
		if c.Key != sourcesKey && !strings.HasPrefix(c.Key, sourcesKey+".") {
			out = append(out, c)
		}
	}
	return out
}

// Names implements Job.
func (j *SFT) Names() []Name {
	return []Name{
		nameAt("model", source.Model, &j.Model), nameAt("init_adapter", source.Adapter, &j.InitAdapter),
		nameAt("train.path", source.Data, &j.Train.Path), nameAt("eval.path", source.Data, &j.Eval.Path),
	}
}

// From implements Job.
func (j *SFT) From() *Sources { return &j.Sources }

// Names implements Job.
func (j *Reward) Names() []Name {
	return append(namesAt("sft", source.Adapter, j.SFT),
		nameAt("model", source.Model, &j.Model), nameAt("init_adapter", source.Adapter, &j.InitAdapter),
		nameAt("train.path", source.Data, &j.Train.Path), nameAt("held_out.path", source.Data, &j.HeldOut.Path))
}

// From implements Job.
func (j *Reward) From() *Sources { return &j.Sources }

// Names implements Job.
func (j *DPO) Names() []Name {
	return append(namesAt("sft", source.Adapter, j.SFT), nameAt("model", source.Model, &j.Model),
		nameAt("train.path", source.Data, &j.Train.Path), nameAt("held_out.path", source.Data, &j.HeldOut.Path))
}

// From implements Job.
func (j *DPO) From() *Sources { return &j.Sources }

// Names implements Job.
func (j *Eval) Names() []Name {
	names := []Name{nameAt("model", source.Model, &j.Model)}
	for i := range j.Subjects {
		names = append(names, namesAt(fmt.Sprintf("subjects[%d].adapters", i), source.Adapter,
			j.Subjects[i].Adapters)...)
		if best := j.Subjects[i].BestOf; best != nil {
			names = append(names, best.Rewards.named()...)
		}
	}
	for i := range j.Rewards {
		key := fmt.Sprintf("rewards[%d].", i)
		names = append(names, namesAt(key+"below", source.Adapter, j.Rewards[i].Below)...)
		names = append(names, nameAt(key+"adapter", source.Adapter, &j.Rewards[i].Adapter))
	}
	for _, f := range j.DataFiles() {
		names = append(names, nameAt(f.Key+".path", source.Data, f.Path))
	}
	for i := range j.Tasks {
		names = append(names, nameAt(fmt.Sprintf("tasks[%d].data.path", i), source.Data, &j.Tasks[i].Data.Path))
	}
	for task, file := range j.TaskData {
		names = append(names, Name{"task_data." + task, source.Data, file,
			func(path string) { j.TaskData[task] = path }})
	}
	return names
}

// From implements Job.
func (j *Eval) From() *Sources { return &j.Sources }
