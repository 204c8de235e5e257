package workspace

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/internal/machine"
	"steer/rl/data"
	"steer/rl/train"
)

// Workspace is a loaded model with what stages need around it.
type Workspace struct {
	dev    *ggml.Device
	Model  *ggml.Model
	Tok    *ggml.Tokenizer
	Engine EngineConfig
	// SHA256 of the model's file: adapters of another base are noticed by it. "" until a job
	// or the first adapter that names its base asks.
	SHA256 string
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool
	// Hashes is where the hash of the model's file is remembered; may be nil.
	Hashes   *filehash.Cache
	warnings []string
	remarks  []string        // what is right, and worth a line
	said     map[string]bool // warnings and remarks, each once
	// unchecked are the adapters that do not tell what they were trained on; the first
	// toldUnchecked of them were named.
	unchecked     []string
	toldUnchecked int
	contents      map[string]string // content hashes of adapters, by path
	closes        []func() error
	frozen        map[string]*ggml.Adapter // that stacks share, by path
	engine        Engine
	// stops are the ids that end an answer, as far as a template was opened.
	stops []int32
	// expected make adapters which no stage has written yet, by path; for plans only.
	expected map[string]func(*Workspace) (*adapter.Adapter, error)
	// onStep is called with each stack that is opened; may be nil.
	onStep func(lm.Learner) error
}

// Open loads a model to train.
func Open(path string, e EngineConfig) (*Workspace, error) {
	return OpenWith(path, e, ggml.ModelOptions{})
}

// OpenToUse loads a model to generate and score with. It may be one that cannot be trained, which is
// said aloud.
func OpenToUse(path string, e EngineConfig) (*Workspace, error) {
	return OpenWith(path, e, ggml.ModelOptions{Decode: true})
}

// OpenWith is Open with options of the loading.
func OpenWith(path string, e EngineConfig, opt ggml.ModelOptions) (*Workspace, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	dev, err := ggml.OpenDevice(ggml.DeviceOptions{Name: e.Device, Threads: e.ThreadCount(), CUDA: e.CUDA})
	if err != nil {
		return nil, err
	}
	m, err := ggml.LoadModel(dev, path, opt)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	w := &Workspace{dev: dev, Model: m, Tok: m.Tokenizer(), Engine: e, engine: openEngine(m),
		warnings: slices.Clone(m.Info().Warnings)}
	w.closes = []func() error{dev.Close, m.Close}
	if why := m.Untrainable(); why != nil {
		w.Warn(fmt.Sprintf("this model can be used, not trained: %v. libllama computes it, one sequence after the "+
			"other where answers are scored, which is slower, and no adapter can be laid over it", why))
	}
	return w, nil
}

// Close closes everything opened on the workspace, last first.
func (w *Workspace) Close() error {
	var errs []error
	for i := len(w.closes) - 1; i >= 0; i-- {
		errs = append(errs, w.closes[i]())
	}
	w.closes = nil
	return errors.Join(errs...)
}

// Device names the device in use: cpu or cuda:N.
func (w *Workspace) Device() string { return w.dev.Name() }

// OnGPU tells whether the device is a GPU.
func (w *Workspace) OnGPU() bool { return w.dev.OnGPU() }

// GEMMRate is [ggml.Device.GEMMRate] of the device in use.
func (w *Workspace) GEMMRate() (float64, error) { return w.dev.GEMMRate() }

// DeviceMemory is [ggml.Device.Memory] of the device in use.
func (w *Workspace) DeviceMemory() (ggml.Memory, error) { return w.dev.Memory() }

// Kernel names the CPU kernels in use, or the GPU.
func (w *Workspace) Kernel() string { return w.dev.Kernel() }

// Threads is the number of compute threads.
func (w *Workspace) Threads() int { return w.Engine.ThreadCount() }

// Notice says aloud where the engine is slower or less exact than was asked for, and
// what was noticed on loading.
func (w *Workspace) Notice(p train.Progress) {
	w.Tell(p)
	if why := w.dev.Fallback(); why != "" {
		p.Note("device auto is the CPU: " + why)
	}
	switch k := w.Kernel(); {
	case w.dev.OnGPU():
		p.Note(fmt.Sprintf("computing on %s, %s", w.Device(), k))
	case k == "portable" && runtime.GOARCH == "amd64":
		p.Note("warning: this CPU has no AVX2: the portable kernels compute, several times slower")
	case w.Engine.Precision == ggml.BF16 && k != "avx512bf16":
		p.Note(fmt.Sprintf("warning: this CPU has no bfloat16 instructions: precision bf16 is computed in f32 by the "+
			"%s kernels (slower)", k))
	}
	if why := machine.CPUs().TooMany(w.Engine.Threads); why != "" {
		p.Note("warning: " + why)
	}
}

// Tell prints what was noticed since the last time.
func (w *Workspace) Tell(p train.Progress) {
	for _, w := range w.warnings {
		p.Note("warning: " + w)
	}
	for _, r := range w.remarks {
		p.Note(r)
	}
	w.warnings, w.remarks = nil, nil
	w.noteUnchecked(p)
}

// Warn keeps a warning for the next time that they are printed.
func (w *Workspace) Warn(text string) { w.warnings = append(w.warnings, text) }

// Within bounds a configured length in tokens by what the model can hold, aloud.
func (w *Workspace) Within(key string, configured, most int, what string) int {
	if configured <= most {
		return configured
	}
	w.Warn(fmt.Sprintf("%s %d is more than the model's context of %d tokens holds: %s "+
		"beyond %d tokens are treated as too long",
		key, configured, w.Model.Info().CtxTrain, what, most))
	return most
}

// NoteData says aloud what was odd about a data file.
func (w *Workspace) NoteData(l data.Loaded) {
	for _, n := range l.Notes {
		w.Warn(l.Path + ": " + n)
	}
}

// Expect makes the workspace take the adapter at path, which no stage has written yet, as make
// gives it. For plans only.
func (w *Workspace) Expect(path string, make func(*Workspace) (*adapter.Adapter, error)) {
	if w.expected == nil {
		w.expected = map[string]func(*Workspace) (*adapter.Adapter, error){}
	}
	w.expected[path] = make
}

// OnStep makes the workspace call a function with each stack that is opened from now on.
func (w *Workspace) OnStep(call func(lm.Learner) error) { w.onStep = call }

// Stops are the ids that end an answer, as far as a template was opened.
func (w *Workspace) Stops() []int32 { return w.stops }

// With is a workspace on the same model and device where another engine computes. It is closed
// before this one.
func (w *Workspace) With(e EngineConfig, engine Engine) *Workspace {
	return &Workspace{
		dev: w.dev, Model: w.Model, Tok: w.Tok, Engine: e, SHA256: w.SHA256, expected: w.expected, engine: engine,
	}
}

// ReadAdapter reads an adapter file or PEFT folder and notices if it was trained on
// another base.
func (w *Workspace) ReadAdapter(path string) (*adapter.Adapter, error) {
	if foresee := w.expected[path]; foresee != nil {
		return foresee(w)
	}
	a, err := adapter.LoadFor(path, w.Model.Shape())
	if err != nil {
		return nil, err
	}
	for _, n := range a.Notices {
		w.warnOnce(fmt.Sprintf("adapter %s: %s", path, n))
	}
	trained := a.Meta[adapter.MetaBase]
	if trained != "" && w.SHA256 == "" {
		if w.SHA256, err = modelfile.SHA256(w.Model.Info().Path, w.Hashes.Sum); err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
	}
	if trained != "" && w.SHA256 != "" && trained != w.SHA256 {
		w.warnOnce(fmt.Sprintf("adapter %s was trained on another base (SHA-256 %.12s) than %s (%.12s): it fits, "+
			"but what it does here was never measured",
			path, trained, w.Model.Info().Path, w.SHA256))
	}
	return a, nil
}

// Adapter puts an adapter on the model until the workspace is closed.
func (w *Workspace) Adapter(a *adapter.Adapter, trainable bool) (*ggml.Adapter, error) {
	l, closer, err := w.engine.Adapter(a, trainable)
	if err == nil {
		w.closes = append(w.closes, closer)
	}
	return l, err
}

// LoadStack reads a stack of adapters, files or PEFT folders, for a use ("" for any), and puts them on
// the model; placed is what their files say. What stacks have in common, as policies have the SFT
// adapter, is there once. A stack in another order, or on other adapters, than it was trained in is
// refused, unless AnyStack is set.
func (w *Workspace) LoadStack(paths []string, u Use) (live []*ggml.Adapter, placed []adapter.Placed, err error) {
	if live, err = w.loadAdapters(paths); err != nil {
		return nil, nil, err
	}
	placed = w.placedAll(paths, live)
	if err := checkRoles(placed, u); err != nil { // it explains more than the stack does
		return nil, nil, err
	}
	return live, placed, w.CheckStack(placed)
}

func (w *Workspace) loadAdapters(paths []string) ([]*ggml.Adapter, error) {
	var out []*ggml.Adapter
	for _, p := range paths {
		a := w.frozen[p]
		if a == nil || slices.Contains(out, a) { // one that lies in a stack twice counts twice
			host, err := w.ReadAdapter(p)
			if err != nil {
				return nil, err
			}
			if a, err = w.Adapter(host, false); err != nil {
				return nil, fmt.Errorf("adapter %s: %w", p, err)
			}
			if w.frozen == nil {
				w.frozen = map[string]*ggml.Adapter{}
			}
			w.frozen[p] = a
		}
		out = append(out, a)
	}
	return out, nil
}

// Step lays adapters over the model until the workspace is closed. With train, the last
// one learns; dropout is its LoRA dropout.
func (w *Workspace) Step(adapters []*ggml.Adapter, train bool, dropout float64) (lm.Learner, error) {
	s, closer, err := w.engine.Step(ggml.StepOptions{
		Adapters: adapters, Train: train, Dropout: float32(dropout),
		KeepActivations: w.Engine.KeepActivations, Precision: w.Engine.Precision,
	})
	if err != nil {
		return nil, err
	}
	w.closes = append(w.closes, closer)
	if w.onStep != nil {
		return s, w.onStep(s)
	}
	return s, nil
}

// KL is the exact KL of two stacks opened with Step.
func (w *Workspace) KL(policy, reference lm.Evaluator) lm.KLFunc {
	return w.engine.KL(policy, reference)
}

// Generator decodes on a stack of adapters, see [Engine].
func (w *Workspace) Generator(adapters ...*ggml.Adapter) lm.Generator {
	return w.engine.Generator(adapters, w.Engine.Sequences)
}

// Template opens a template and the token ids that end its answers.
func (w *Workspace) Template(f Form) (*data.Template, []int32, error) {
	t, err := data.OpenTemplate(w.Tok, f.Template, f.System, f.Date, f.Vars)
	if err != nil {
		return nil, nil, err
	}
	var stop []int32
	for _, mark := range t.Marks() {
		ids, err := w.Tok.Encode(mark, false, true)
		if err != nil {
			return nil, nil, err
		}
		if len(ids) != 1 {
			return nil, nil, fmt.Errorf("template %s divides turns by %s, which this model's vocabulary spells in %d "+
				"tokens: choose the template the model was trained with", t.Name(), mark, len(ids))
		}
	}
	for _, odd := range t.Oddities() {
		w.warnOnce(odd)
	}
	if stop, err = t.StopIDs(w.Tok); err != nil {
		return nil, nil, err
	}
	w.stops = stop
	return t, stop, nil
}
