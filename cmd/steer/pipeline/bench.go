package pipeline

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/filehash"
	"steer/rl/data"
	"steer/rl/train"
)

// Bench is a loaded model with what stages need around it.
type Bench struct {
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
	expected map[string]func(*Bench) (*adapter.Adapter, error)
	// onStep is called with each stack that is opened; may be nil.
	onStep func(lm.Learner) error
}

// OpenBench loads a model.
func OpenBench(path string, e EngineConfig) (*Bench, error) {
	return openBench(path, e, ggml.ModelOptions{})
}

func openBench(path string, e EngineConfig, opt ggml.ModelOptions) (*Bench, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	dev, err := ggml.OpenDevice(ggml.DeviceOptions{Name: e.Device, Threads: e.threads(), CUDA: e.CUDA})
	if err != nil {
		return nil, err
	}
	m, err := ggml.LoadModel(dev, path, opt)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	b := &Bench{dev: dev, Model: m, Tok: m.Tokenizer(), Engine: e, engine: openEngine(m),
		warnings: slices.Clone(m.Info().Warnings)}
	b.closes = []func() error{dev.Close, m.Close}
	return b, nil
}

// Close closes everything opened on the bench, last first.
func (b *Bench) Close() error {
	var errs []error
	for i := len(b.closes) - 1; i >= 0; i-- {
		errs = append(errs, b.closes[i]())
	}
	b.closes = nil
	return errors.Join(errs...)
}

// Device names the device in use: cpu or cuda:N.
func (b *Bench) Device() string { return b.dev.Name() }

// OnGPU tells whether the device is a GPU.
func (b *Bench) OnGPU() bool { return b.dev.OnGPU() }

// GEMMRate is [ggml.Device.GEMMRate] of the device in use.
func (b *Bench) GEMMRate() (float64, error) { return b.dev.GEMMRate() }

// DeviceMemory is [ggml.Device.Memory] of the device in use.
func (b *Bench) DeviceMemory() (ggml.Memory, error) { return b.dev.Memory() }

// Kernel names the CPU kernels in use, or the GPU.
func (b *Bench) Kernel() string { return b.dev.Kernel() }

// Threads is the number of compute threads.
func (b *Bench) Threads() int { return b.Engine.threads() }

// Notice says aloud where the engine is slower or less exact than was asked for, and
// what was noticed on loading.
func (b *Bench) Notice(p train.Progress) {
	b.warn(p)
	if why := b.dev.Fallback(); why != "" {
		p.Note("device auto is the CPU: " + why)
	}
	switch k := b.Kernel(); {
	case b.dev.OnGPU():
		p.Note(fmt.Sprintf("computing on %s, %s", b.Device(), k))
	case k == "portable" && runtime.GOARCH == "amd64":
		p.Note("warning: this CPU has no AVX2: the portable kernels compute, several times slower")
	case b.Engine.Precision == ggml.BF16 && k != "avx512bf16":
		p.Note(fmt.Sprintf("warning: this CPU has no bfloat16 instructions: precision bf16 is computed in f32 by the %s kernels (slower)", k))
	}
	if why := machine().tooMany(b.Engine.Threads); why != "" {
		p.Note("warning: " + why)
	}
}

// warn prints what was noticed since the last time.
func (b *Bench) warn(p train.Progress) {
	for _, w := range b.warnings {
		p.Note("warning: " + w)
	}
	for _, r := range b.remarks {
		p.Note(r)
	}
	b.warnings, b.remarks = nil, nil
	b.noteUnchecked(p)
}

// Warn keeps a warning for the next time that they are printed.
func (b *Bench) Warn(text string) { b.warnings = append(b.warnings, text) }

// within bounds a configured length in tokens by what the model can hold, aloud.
func (b *Bench) within(key string, configured, most int, what string) int {
	if configured <= most {
		return configured
	}
	b.warnings = append(b.warnings, fmt.Sprintf("%s %d is more than the model's context of %d tokens holds: %s beyond %d tokens are treated as too long",
		key, configured, b.Model.Info().CtxTrain, what, most))
	return most
}

// noteData says aloud what was odd about a data file.
func (b *Bench) noteData(l data.Loaded) {
	for _, n := range l.Notes {
		b.Warn(l.Path + ": " + n)
	}
}

// Expect makes the workspace take the adapter at path, which no stage has written yet, as make
// gives it. For plans only.
func (b *Bench) Expect(path string, make func(*Bench) (*adapter.Adapter, error)) {
	if b.expected == nil {
		b.expected = map[string]func(*Bench) (*adapter.Adapter, error){}
	}
	b.expected[path] = make
}

// OnStep makes the workspace call a function with each stack that is opened from now on.
func (b *Bench) OnStep(call func(lm.Learner) error) { b.onStep = call }

// Stops are the ids that end an answer, as far as a template was opened.
func (b *Bench) Stops() []int32 { return b.stops }

// With is a workspace on the same model and device where another engine computes. It is closed
// before this one.
func (b *Bench) With(e EngineConfig, engine Engine) *Bench {
	return &Bench{
		dev: b.dev, Model: b.Model, Tok: b.Tok, Engine: e, SHA256: b.SHA256, expected: b.expected, engine: engine,
	}
}

// ReadAdapter reads an adapter file or PEFT folder and notices if it was trained on
// another base.
func (b *Bench) ReadAdapter(path string) (*adapter.Adapter, error) {
	if foresee := b.expected[path]; foresee != nil {
		return foresee(b)
	}
	a, err := adapter.LoadFor(path, b.Model.Shape())
	if err != nil {
		return nil, err
	}
	for _, n := range a.Notices {
		b.warnOnce(fmt.Sprintf("adapter %s: %s", path, n))
	}
	trained := a.Meta[adapter.MetaBase]
	if trained != "" && b.SHA256 == "" {
		if b.SHA256, err = b.Hashes.Sum(b.Model.Info().Path); err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
	}
	if trained != "" && b.SHA256 != "" && trained != b.SHA256 {
		b.warnOnce(fmt.Sprintf("adapter %s was trained on another base (SHA-256 %.12s) than %s (%.12s): it fits, "+
			"but what it does here was never measured",
			path, trained, b.Model.Info().Path, b.SHA256))
	}
	return a, nil
}

// Adapter puts an adapter on the model until the bench is closed.
func (b *Bench) Adapter(a *adapter.Adapter, trainable bool) (*ggml.Adapter, error) {
	l, closer, err := b.engine.Adapter(a, trainable)
	if err == nil {
		b.closes = append(b.closes, closer)
	}
	return l, err
}

// LoadAdapters reads a stack of adapters, files or PEFT folders, and puts them on the model. What
// stacks have in common, as policies have the SFT adapter, is there once. A stack in another
// order, or on other adapters, than it was trained in is refused, unless AnyStack is set.
func (b *Bench) LoadAdapters(paths []string) ([]*ggml.Adapter, error) {
	out, _, err := b.loadStack(paths, "")
	return out, err
}

// LoadSpeaking is LoadAdapters for a stack that is to write answers; a reward model is refused.
func (b *Bench) LoadSpeaking(paths []string) ([]*ggml.Adapter, error) {
	out, _, err := b.loadStack(paths, usePolicy)
	return out, err
}

// loadStack is LoadAdapters for a use, "" for any; placed is what the stack's files say.
func (b *Bench) loadStack(paths []string, u use) (live []*ggml.Adapter, placed []adapter.Placed, err error) {
	if live, err = b.loadAdapters(paths); err != nil {
		return nil, nil, err
	}
	placed = b.placedAll(paths, live)
	if err := checkRoles(placed, u); err != nil { // it explains more than the stack does
		return nil, nil, err
	}
	return live, placed, b.checkStack(placed)
}

func (b *Bench) loadAdapters(paths []string) ([]*ggml.Adapter, error) {
	var out []*ggml.Adapter
	for _, p := range paths {
		a := b.frozen[p]
		if a == nil || slices.Contains(out, a) { // one that lies in a stack twice counts twice
			host, err := b.ReadAdapter(p)
			if err != nil {
				return nil, err
			}
			if a, err = b.Adapter(host, false); err != nil {
				return nil, fmt.Errorf("adapter %s: %w", p, err)
			}
			if b.frozen == nil {
				b.frozen = map[string]*ggml.Adapter{}
			}
			b.frozen[p] = a
		}
		out = append(out, a)
	}
	return out, nil
}

// Step lays adapters over the model until the bench is closed. With train, the last
// one learns; dropout is its LoRA dropout.
func (b *Bench) Step(adapters []*ggml.Adapter, train bool, dropout float64) (lm.Learner, error) {
	s, closer, err := b.engine.Step(ggml.StepOptions{
		Adapters: adapters, Train: train, Dropout: float32(dropout),
		KeepActivations: b.Engine.KeepActivations, Precision: b.Engine.Precision,
	})
	if err != nil {
		return nil, err
	}
	b.closes = append(b.closes, closer)
	if b.onStep != nil {
		return s, b.onStep(s)
	}
	return s, nil
}

// KL is the exact KL of two stacks opened with Step.
func (b *Bench) KL(policy, reference lm.Evaluator) KLFunc { return b.engine.KL(policy, reference) }

// Generator decodes on a stack of adapters, see [Engine].
func (b *Bench) Generator(adapters ...*ggml.Adapter) lm.Generator {
	return b.engine.Generator(adapters, b.Engine.Sequences)
}

// Template opens a template and the token ids that end its answers.
func (b *Bench) Template(name data.TemplateName, system *string) (*data.Template, []int32, error) {
	t, err := data.NewTemplate(name, system)
	if err != nil {
		return nil, nil, err
	}
	var stop []int32
	if eos := b.Tok.EOS(); eos >= 0 {
		stop = append(stop, eos)
	}
	for _, mark := range t.Marks() {
		ids, err := b.Tok.Encode(mark, false, true)
		if err != nil {
			return nil, nil, err
		}
		if len(ids) != 1 {
			return nil, nil, fmt.Errorf("template %s divides turns by %s, which this model's vocabulary spells in %d tokens: "+
				"choose the template the model was trained with", name, mark, len(ids))
		}
		if mark == t.StopToken() && (len(stop) == 0 || stop[0] != ids[0]) {
			stop = append(stop, ids[0])
		}
	}
	b.stops = stop
	return t, stop, nil
}
