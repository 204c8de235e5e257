package result

// Interval is a mean with the ends of its interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Lo   float64 `json:"lo"`
	Hi   float64 `json:"hi"`
	N    int     `json:"n"`
}

// Cell is a policy under a reward model; differences are paired by prompt and absent
// for the reference itself. WinRate is the share of prompts on which the policy
// scores above the reference, ties counting one half.
type Cell struct {
	Interval
	Diff    *float64 `json:"diff_sft,omitempty"`
	DiffLo  *float64 `json:"diff_lo,omitempty"`
	DiffHi  *float64 `json:"diff_hi,omitempty"`
	WinRate *float64 `json:"win_rate,omitempty"`
}

// Normalisation maps raw scores to (raw-Mean)/Std.
type Normalisation struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// Histogram counts the scores of one cell; Counts[i] lie in [Edges[i], Edges[i+1]),
// the last bin closed.
type Histogram struct {
	Policy string    `json:"policy"`
	Reward string    `json:"reward"`
	Edges  []float64 `json:"edges"`
	Counts []float64 `json:"counts"`
}

// CrossReward is "cross_reward" of result.json (docs/report.md).
type CrossReward struct {
	Policies      []string                 `json:"policies"`
	Rewards       []string                 `json:"rewards"`
	Reference     string                   `json:"reference"`
	Unit          string                   `json:"unit"` // raw, or normalised if every reward has a normalisation
	Normalisation map[string]Normalisation `json:"normalisation,omitempty"`
	Prompts       *PromptFile              `json:"prompts,omitempty"`
	Cells         [][]Cell                 `json:"cells"`   // [policy][reward]
	KL            map[string]Interval      `json:"kl"`      // k1, nats a response, from the reference
	KLK3          map[string]Interval      `json:"kl_k3"`   // the same by the k3 estimator
	Lengths       map[string]Interval      `json:"lengths"` // tokens
	Histograms    []Histogram              `json:"histograms,omitempty"`
	Samples       []Sample                 `json:"-"` // "samples" of result.json
	// Items is the file of the answers' records, relative to the run folder.
	Items       string `json:"items,omitempty"`
	ItemsSHA256 string `json:"items_sha256,omitempty"`
}

// Sample is one prompt with every policy's answer and its scores by reward.
type Sample struct {
	Prompt  string                        `json:"prompt"`
	Answers map[string]string             `json:"answers"`
	Scores  map[string]map[string]float64 `json:"scores"`
}

// AnswerRecord is one answer with all that was measured on it.
type AnswerRecord struct {
	ID     string             `json:"id"` // of the prompt
	Policy string             `json:"policy"`
	Answer string             `json:"answer"`
	Tokens int                `json:"tokens"`
	Finish string             `json:"finish"`
	Raw    map[string]float64 `json:"raw"` // score by reward
	KL     float64            `json:"kl"`  // k1
	KLK3   float64            `json:"kl_k3"`
}

// PromptFile says where the prompts of the matrix came from.
type PromptFile struct {
	Path    string `json:"path"`
	SHA256  string `json:"sha256"`
	Rows    int    `json:"rows"`    // in the file
	Used    int    `json:"used"`    // asked
	Dropped int    `json:"dropped"` // longer than max_prompt_tokens
	// NoQuestion conversations have no user message before the first answer and were left
	// out.
	NoQuestion int `json:"no_question,omitempty"`
	// Notes say what was odd about the file: keys that are not read, and the like.
	Notes []string `json:"notes,omitempty"`
}
