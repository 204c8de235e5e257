package eval

// ResultVersion is the version of eval's result.json.
const ResultVersion = 1

// Result is eval/result.json (docs/report.md): what the command that ran the suite
// fills in and writes. Fields that every stage has (base, seconds, versions) are the
// command's to add around it.
type Result struct {
	Stage       string             `json:"stage"` // "eval"
	Name        string             `json:"name"`
	Version     int                `json:"version"`
	Models      []Model            `json:"models"`
	Benchmarks  []*Measurement     `json:"benchmarks"`
	CrossReward *CrossRewardResult `json:"cross_reward,omitempty"`
	Samples     []Sample           `json:"samples,omitempty"`
}

// Model describes a model under test.
type Model struct {
	Name     string   `json:"name"`
	Role     string   `json:"role"` // base, sft or policy
	Theory   string   `json:"theory,omitempty"`
	Adapters []string `json:"adapters"`
}

// NewResult puts the parts together.
func NewResult(name string, models []Model, benchmarks []*Measurement, cross *CrossRewardResult) *Result {
	for i := range models {
		if models[i].Adapters == nil {
			models[i].Adapters = []string{} // "[]", not "null"
		}
	}
	r := &Result{Stage: "eval", Name: name, Version: ResultVersion, Models: models, Benchmarks: benchmarks, CrossReward: cross}
	if cross != nil {
		r.Samples = cross.Samples
	}
	return r
}
