package report

import "steer/rl/run"

// What report.json says of a stage: less than its result.json, whose types are in package run, and
// of all stages in one form.

// Interval is a number with the ends of its 95 % interval. Lo and Hi are nil where the number is
// known alone.
type Interval struct {
	Mean float64  `json:"mean"`
	Lo   *float64 `json:"lo,omitempty"`
	Hi   *float64 `json:"hi,omitempty"`
	N    int      `json:"n,omitempty"`
	// PerRun holds the value of every run where Mean is a mean over several.
	PerRun []float64 `json:"per_run,omitempty"`
	// mark is the value that an end has to be told apart from: 0, or chance.
	mark float64
}

// known tells whether both ends are there.
func (v Interval) known() bool { return v.Lo != nil && v.Hi != nil }

func intervalOf(v run.Interval) Interval { return Interval{Mean: v.Mean, Lo: v.Lo, Hi: v.Hi, N: v.N} }

func intervalsOf(of map[string]run.Interval) map[string]Interval {
	if of == nil {
		return nil
	}
	out := map[string]Interval{}
	for k, v := range of {
		out[k] = intervalOf(v)
	}
	return out
}

// Data is one data file that a stage read; Rows are in the file, Used of them
// were used.
type Data struct {
	Path      string `json:"path"`
	Role      string `json:"role,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Rows      int    `json:"rows,omitempty"`
	Used      int    `json:"used,omitempty"`
	Dropped   int    `json:"dropped,omitempty"`
	Truncated int    `json:"truncated,omitempty"`
}

func dataOf(f run.DataFile) Data {
	d := Data{Path: f.Path, Role: f.Role, SHA256: f.SHA256, Rows: f.Rows, Used: f.Used, Truncated: f.Truncated}
	if f.Dropped != nil {
		d.Dropped = *f.Dropped
	}
	return d
}

// StageResult is what every stage has, and what sft, reward, ppo and dpo add.
type StageResult struct {
	Stage    string            `json:"stage"`
	Name     string            `json:"name"`
	Version  int               `json:"version"`
	Status   string            `json:"status,omitempty"` // finished | stopped | interrupted; "" means finished
	Reason   string            `json:"reason,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	Steps    int64             `json:"steps,omitempty"`
	Seconds  float64           `json:"seconds,omitempty"`
	Tokens   int64             `json:"tokens,omitempty"`
	Resumed  int               `json:"resumed,omitempty"`
	Seed     *uint64           `json:"seed,omitempty"`
	Base     *run.Base         `json:"base,omitempty"`
	Data     []Data            `json:"data,omitempty"`
	Adapter  *run.Adapter      `json:"adapter,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
	Device   string            `json:"device,omitempty"`
	Precise  string            `json:"precision,omitempty"`
	Command  []string          `json:"command,omitempty"`

	Counts     *Counts `json:"counts,omitempty"`      // what became of the training examples
	EvalCounts *Counts `json:"eval_counts,omitempty"` // and of the held-out ones

	EvalBefore *LossEval `json:"eval_before,omitempty"` // sft: before the first step
	EvalLast   *LossEval `json:"eval_last,omitempty"`   // sft: after the last

	Theory        string             `json:"theory,omitempty"`    // reward, ppo, dpo
	Recipe        string             `json:"recipe,omitempty"`    // reward, dpo
	Accuracy      *Interval          `json:"accuracy,omitempty"`  // reward, dpo, held-out pairs, Wilson
	LossType      string             `json:"loss_type,omitempty"` // dpo
	Margin        *Interval          `json:"margin,omitempty"`    // dpo, of implicit rewards
	Normalisation *run.Normalisation `json:"normalisation,omitempty"`
	Histograms    []run.Histogram    `json:"histograms,omitempty"`
	Judging       *Judging           `json:"judging,omitempty"` // judge

	Iterations int64    `json:"iterations,omitempty"`   // ppo
	ScoreFirst *float64 `json:"score_first,omitempty"`  // ppo
	ScoreLast  *float64 `json:"score_last,omitempty"`   // ppo
	KLLast     *float64 `json:"kl_last,omitempty"`      // ppo, nats a response
	KLCoefLast *float64 `json:"kl_coef_last,omitempty"` // ppo

	HeldoutFirst *Heldout `json:"heldout_first,omitempty"` // ppo: before training
	HeldoutLast  *Heldout `json:"heldout_last,omitempty"`  // ppo: after it
	// StoppedBecause is the sentence of the guard that ended a ppo run: the same as
	// status stopped with a reason.
	StoppedBecause string `json:"stopped_because,omitempty"`
}

// resultOf takes of a result what the report tells.
func resultOf(result run.Result) *StageResult {
	r := result.Common()
	out := &StageResult{
		Stage: r.Stage, Name: r.Name, Version: r.Version, Status: r.Status, Reason: r.Reason, Warnings: r.Warnings,
		Seconds: r.Seconds, Resumed: r.Resumed, Seed: r.Seed, Base: r.Base, Adapter: r.Adapter,
		Versions: r.Versions, Device: r.Device, Precise: r.Precision, Command: r.Command,
	}
	for _, f := range r.Data {
		out.Data = append(out.Data, dataOf(f))
	}
	switch x := result.(type) {
	case *run.SFT:
		out.Steps, out.Tokens = x.Steps, x.Tokens
		out.Counts, out.EvalCounts = countsOf(x.Counts), countsOf(x.EvalCounts)
		out.EvalBefore, out.EvalLast = lossOf(x.EvalBefore), lossOf(x.EvalLast)
	case *run.Reward:
		out.Steps, out.Tokens = x.Steps, x.Tokens
		out.Theory, out.Recipe, out.Histograms = x.Theory, x.Recipe, x.Histograms
		if x.Accuracy != nil {
			a := intervalOf(x.Accuracy.Interval)
			out.Accuracy = &a
		}
		if x.Normalisation != nil {
			out.Normalisation = &x.Normalisation.Normalisation
		}
	case *run.PPO:
		out.Steps, out.Tokens = x.Steps, x.Tokens
		out.Theory, out.Iterations = x.Theory, x.Iterations
		out.ScoreFirst, out.ScoreLast, out.KLLast, out.KLCoefLast = x.ScoreFirst, x.ScoreLast, x.KLLast, x.KLCoefLast
		out.HeldoutFirst, out.HeldoutLast = heldoutOf(x.HeldoutFirst), heldoutOf(x.HeldoutLast)
		out.StoppedBecause = x.StoppedBecause
	case *run.GRPO:
		out.Theory, out.Iterations = x.Theory, x.Iterations
		out.ScoreFirst, out.ScoreLast, out.KLLast, out.KLCoefLast = x.ScoreFirst, x.ScoreLast, x.KLLast, x.KLCoefLast
		out.HeldoutFirst, out.HeldoutLast = heldoutOf(x.HeldoutFirst), heldoutOf(x.HeldoutLast)
		out.StoppedBecause = x.StoppedBecause
	case *run.DPO:
		out.Steps, out.Tokens = x.Steps, x.Tokens
		out.Theory, out.Recipe, out.LossType = x.Theory, x.Recipe, x.DPOSummary.Loss
		if h := x.HeldOut; h != nil {
			a := intervalOf(h.Accuracy)
			out.Accuracy = &a
			if h.Margin != nil {
				m := intervalOf(*h.Margin)
				out.Margin = &m
			}
		}
	case *run.Judge:
		out.Theory, out.Judging = x.Theory, judgingOf(x)
	case *run.Evaluation:
		out.Steps, out.Tokens = x.Steps, x.Tokens
	}
	if out.StoppedBecause != "" && (out.Status == "" || out.Status == run.StatusFinished) {
		out.Status, out.Reason = run.StatusStopped, out.StoppedBecause
	}
	return out
}

// Counts says what became of the examples of a data set.
type Counts struct {
	In        int `json:"in"`
	Kept      int `json:"kept"`
	Dropped   int `json:"dropped"`   // longer than the limit
	Truncated int `json:"truncated"` // kept, but cut
	NoTargets int `json:"no_targets"`
}

func countsOf(c *run.Counts) *Counts {
	if c == nil {
		return nil
	}
	return &Counts{In: c.In, Kept: c.Kept, Dropped: c.Dropped, Truncated: c.Truncated, NoTargets: c.NoTargets}
}

// LossEval is a measurement on held-out text.
type LossEval struct {
	Loss       float64 `json:"loss"` // nats a token
	Perplexity float64 `json:"perplexity"`
}

func lossOf(l *run.TextLoss) *LossEval {
	if l == nil {
		return nil
	}
	return &LossEval{Loss: l.Loss, Perplexity: l.Perplexity}
}

// Heldout is a policy measured on prompts it is not trained on; Difference is paired
// with the scores before training.
type Heldout struct {
	Score      Interval `json:"score"`
	Difference Interval `json:"difference"`
	KL         Interval `json:"kl"`     // nats a response
	Length     float64  `json:"length"` // tokens
}

func heldoutOf(h *run.HeldOut) *Heldout {
	if h == nil {
		return nil
	}
	return &Heldout{
		Score: intervalOf(h.Score), Difference: intervalOf(h.Difference), KL: intervalOf(h.KL), Length: h.Length,
	}
}

// Model is one row of the tables.
type Model struct {
	Name     string   `json:"name"`
	Role     string   `json:"role,omitempty"`   // base | sft | policy
	Theory   string   `json:"theory,omitempty"` // reward the policy was trained with
	Adapters []string `json:"adapters,omitempty"`
	BestOf   int      `json:"best_of,omitempty"` // gives the best of so many answers of the stack; 0: its own
}

// Cell is a cell of the matrix with its test.
type Cell struct {
	run.Cell
	// P tests that the difference is 0, Holm is P adjusted for all cells of the matrix;
	// nil where the answers themselves were not found.
	P    *float64 `json:"p,omitempty"`
	Holm *float64 `json:"holm,omitempty"`
	// PerRun is the difference in every run where there are several.
	PerRun []float64 `json:"per_run,omitempty"`
}

func cellsOf(rows [][]run.Cell) [][]Cell {
	out := make([][]Cell, len(rows))
	for i, row := range rows {
		for _, c := range row {
			out[i] = append(out[i], Cell{Cell: c})
		}
	}
	return out
}

// Sample is one prompt with the answer of each model and their scores by model and
// reward.
type Sample struct {
	// Run names the run whose answers these are, where there are several.
	Run string `json:"run,omitempty"`
	run.Sample
}
