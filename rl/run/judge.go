package run

// JudgedFile holds the preferences that a model judged.
const JudgedFile = "judged.jsonl"

// Judge is result.json of preferences that a model judged by a constitution.
type Judge struct {
	Record
	Judging
	Constitution       string     `json:"constitution"`
	ConstitutionSHA256 string     `json:"constitution_sha256"`
	Theory             string     `json:"theory"` // how the pairs were read
	Source             PairSource `json:"pairs_from"`
}

// Check finds what contradicts itself.
func (j *Judge) Check() error { return j.Record.check() }

// Judging is what the judgements came to.
type Judging struct {
	Pairs     int `json:"pairs"`
	TooLong   int `json:"too_long"`  // not asked
	Kept      int `json:"kept"`      // became preferences
	Undecided int `json:"undecided"` // left out: margin too small, or the orders disagree
	// Agreement is the share of pairs whose labelled answer is preferred, with its Wilson interval; chance is 0.5. nil
	// where there are no labels.
	Agreement *Interval `json:"agreement,omitempty"`
	// Inconsistent is the share of pairs where the two orders prefer different answers, FirstPlace the share where the
	// answer at A is preferred, whichever it is, and Bias by how much, in nats.
	Inconsistent Interval `json:"inconsistent"`
	FirstPlace   Interval `json:"first_place"`
	Bias         Interval `json:"bias"`
}
