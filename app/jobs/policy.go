package jobs

import (
	"fmt"
	"maps"
	"slices"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/rollout"
	"steer/rl/train"
)

// Policy is what jobs that steer a policy share: its base, the reference below it, its form.
type Policy struct {
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// Template and System are those the SFT adapter was trained with: its own where none is
	// given, or the model's own, or chatml.
	Template data.TemplateName `yaml:"template,omitempty"`
	System   *string           `yaml:"system,omitempty"`
	// Date is what a model's own template shows as today.
	Date data.Date `yaml:"date,omitempty"`
	// TemplateVars are variables of a model's own template, such as enable_thinking.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	// SFT lists the adapters of the reference policy; the trained one lies on top.
	SFT []string `yaml:"sft"`
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool `yaml:"any_stack,omitempty"`
}

// Base implements Job.
func (p *Policy) Base() (string, workspace.EngineConfig) { return p.Model, p.Engine }

func (p *Policy) form() workspace.Form {
	return workspace.Form{Template: p.Template, System: p.System, Date: p.Date, Vars: p.TemplateVars}
}

// fillForm takes the template of the adapters below, or the model's own.
func (p *Policy) fillForm() error {
	return workspace.FillForm(p.Model, &p.Template, &p.System, &p.Date, &p.TemplateVars, p.SFT)
}

// paths are those of the base and the adapters below the policy.
func (p *Policy) paths() []*string {
	out := []*string{&p.Model}
	for i := range p.SFT {
		out = append(out, &p.SFT[i])
	}
	return out
}

// files are the same by role.
func (p *Policy) files() map[string]string {
	out := map[string]string{"model": p.Model}
	for i, path := range p.SFT {
		out[numbered("sft", i)] = path
	}
	return out
}

// checkStack refuses more adapters than can be decoded with; kind is the job's.
func (p *Policy) checkStack(kind Kind) error {
	if len(p.SFT) > 1 {
		return fmt.Errorf("%s: sft: want at most one adapter: decoding takes two, and the policy's is the second; "+
			"merge the others first", kind)
	}
	return nil
}

// meta is what the policy's adapter says of itself.
func (p *Policy) meta(model string, opened *data.Template, trainedOn string) map[string]string {
	m := map[string]string{
		adapter.MetaRole: string(adapter.RolePolicy), adapter.MetaBase: model, adapter.MetaTrainedOn: trainedOn,
	}
	maps.Copy(m, p.form().Meta(opened))
	return m
}

// newAdapter is a policy's adapter at the start; stream names its random numbers.
func newAdapter(w *workspace.Workspace, l train.LoRA, runSeed uint64, stream string) (*adapter.Adapter, error) {
	return adapter.New(w.Model.Shape(), l.Targets, l.Rank, float32(l.Alpha), l.RsLoRA, seed.Derive(runSeed, stream))
}

// policyModels are the language models of a PPO run.
type policyModels struct {
	reference lm.Evaluator
	policy    lm.Learner
	stack     []*ggml.Adapter // of the policy, the trained adapter last
	host      *adapter.Adapter
	trainedOn string // what host says of the adapters below it
}

// openModels opens the reference, which is the SFT stack, and the policy, job's adapter, on top of it. Without
// a reference that is nil.
func (p *Policy) openModels(
	w *workspace.Workspace, job Maker, opened *data.Template, l train.LoRA, reference bool,
) (m policyModels, err error) {
	kind := job.Kind()
	sftAdapters, below, err := w.LoadStack(p.SFT, workspace.UsePolicy)
	if err != nil {
		return m, fmt.Errorf("%s: sft: %w", kind, err)
	}
	w.NoteForm(opened, below...)
	m.trainedOn = adapter.TrainedOnText(below)
	if reference {
		step, err := w.Step(sftAdapters, false, 0)
		if err != nil {
			return m, err
		}
		m.reference = step
	}
	if m.host, err = job.NewAdapter(w); err != nil {
		return m, err
	}
	live, err := w.Adapter(m.host, true)
	if err != nil {
		return m, err
	}
	m.stack = append(slices.Clone(sftAdapters), live)
	m.policy, err = w.Step(m.stack, true, l.Dropout)
	return m, err
}

// The least that ratios are allowed on a GPU in bf16. cuBLAS rounds a product as the size of its
// batch has it, so that the log-probabilities of the same weights differ between the batches of
// rollout and update, most where they are small. Of SmolLM2-135M on an H100 the worst of some
// hundred tokens was off by 0.1 to 0.3, once by 0.6 at a log-probability of -10; what this
// check is for, dropout or another adapter, moves most tokens.
const (
	gpuRatioTolerance = 0.5
	gpuRatioOutliers  = 0.02
)

// allowRounding raises what ratios are allowed before anything was learned to what rounding
// does on a GPU in bf16, and tells whether that changed anything; tolerance 0 stays unchecked.
func allowRounding(g *rollout.Guards, gpu bool, p ggml.Precision) bool {
	if !gpu || p != ggml.BF16 || g.RatioTolerance == 0 {
		return false
	}
	before := *g
	g.RatioTolerance, g.RatioOutliers = max(g.RatioTolerance, gpuRatioTolerance), max(g.RatioOutliers,
		gpuRatioOutliers)
	return *g != before
}
