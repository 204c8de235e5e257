package result

// EvaluationVersion is the version of eval's result.json.
const EvaluationVersion = 1

// Evaluation is eval/result.json (docs/report.md): what the command that ran the suite
// fills in and writes. Fields that every stage has (base, seconds, versions) are the
// command's to add around it.
type Evaluation struct {
	Stage       string         `json:"stage"` // "eval"
	Name        string         `json:"name"`
	Version     int            `json:"version"`
	Models      []Model        `json:"models"`
	Benchmarks  []*Measurement `json:"benchmarks"`
	CrossReward *CrossReward   `json:"cross_reward,omitempty"`
	Samples     []Sample       `json:"samples,omitempty"`
}

// Model describes a model under test.
type Model struct {
	Name     string   `json:"name"`
	Role     string   `json:"role"` // base, sft or policy
	Theory   string   `json:"theory,omitempty"`
	Adapters []string `json:"adapters"`
}

// NewEvaluation puts the parts together.
func NewEvaluation(name string, models []Model, benchmarks []*Measurement, cross *CrossReward) *Evaluation {
	for i := range models {
		if models[i].Adapters == nil {
			models[i].Adapters = []string{} // "[]", not "null"
		}
	}
	r := &Evaluation{Stage: "eval", Name: name, Version: EvaluationVersion, Models: models, Benchmarks: benchmarks, CrossReward: cross}
	if cross != nil {
		r.Samples = cross.Samples
	}
	return r
}
