package run

// The files of a judge, beside those of every stage.
const (
	JudgedFile     = "judged.jsonl"     // the preferences
	JudgementsFile = "judgements.jsonl" // what was said of every pair
	CandidatesFile = "candidates.jsonl" // answers that were sampled
	AskedFile      = "asked.part"       // what models answered, by what they were asked
)

// Judge is result.json of preferences that a model judged by a constitution.
type Judge struct {
	Record
	Judging
	Constitution       string `json:"constitution"`
	ConstitutionSHA256 string `json:"constitution_sha256"`
	ConstitutionText   string `json:"constitution_text"`
	Template           string `json:"template"`         // of the question
	Theory             string `json:"theory,omitempty"` // how a file of pairs was read
	// Source says where the pairs are from; where answers were sampled, of which prompts.
	Source PairSource `json:"pairs_from"`
	// JudgedSHA256 is of the preferences.
	JudgedSHA256 string `json:"judged_sha256"`
	// Sampled counts the answers that were sampled; nil where a file brought them.
	Sampled *SampledAnswers `json:"sampled,omitempty"`
}

// SampledAnswers is what became of sampled answers.
type SampledAnswers struct {
	Prompts int `json:"prompts"`
	Answers int `json:"answers"`
	Cut     int `json:"cut"`   // reached the greatest length
	Empty   int `json:"empty"` // left out
	Same    int `json:"same"`  // pairs of equal answers, left out
}

// Check finds what contradicts itself.
func (j *Judge) Check() error {
	errs := []error{j.Record.check(), j.Position.Inconsistent.check("position.inconsistent"),
		j.Letters.check("letters")}
	if a := j.Agreement; a != nil {
		errs = append(errs, (&Accuracy{Interval: a.Share}).check("agreement.share"))
	}
	return first(errs)
}

// Judging is what the judgements came to. Intervals are at 95 %: Wilson's of shares, Student's of means. They take
// pairs as independent.
type Judging struct {
	Pairs   int     `json:"pairs"`
	Kept    int     `json:"kept"` // became preferences
	LeftOut LeftOut `json:"left_out"`
	// Agreement is with the labels; nil where there are none.
	Agreement *Agreement `json:"agreement,omitempty"`
	Position  PlaceBias  `json:"position"`
	// Letters is the mean probability of A and B together, of all that the model could say next.
	Letters Interval `json:"letters"`
	// Longer is the share of pairs whose longer answer is preferred; nil where all are equally long.
	Longer *Interval `json:"longer_preferred,omitempty"`
	// Contests set policies against one another.
	Contests []Contest `json:"contests,omitempty"`
}

// LeftOut counts the pairs that became no preference.
type LeftOut struct {
	TooLong      int `json:"too_long"`     // not asked
	Ties         int `json:"ties"`         // a margin of exactly 0
	Inconsistent int `json:"inconsistent"` // the orders disagree, where that is asked for
	Close        int `json:"close"`        // a margin below the least
}

// Agreement is how often the judge prefers the answer that people do.
type Agreement struct {
	// Share of the pairs, by both orders together; a tie is no agreement. Chance is 0.5, and ChanceP the two-sided
	// exact binomial probability of a share as far from it.
	Share   Interval `json:"share"`
	ChanceP float64  `json:"chance_p"`
	// Kappa is Cohen's.
	Kappa Interval `json:"kappa"`
	// OneOrder is what asking in a single order would have agreed in, the mean of both.
	OneOrder Interval `json:"one_order"`
	// Kept is the share among the pairs that became preferences; nil where none did.
	Kept *Interval `json:"kept,omitempty"`
}

// PlaceBias is what the place of an answer is worth to the judge, whichever the answer is.
type PlaceBias struct {
	// Inconsistent is the share of pairs where the two orders prefer different answers; AlwaysFirst and AlwaysSecond
	// are the shares where that is the answer at A, and the one at B, both times.
	Inconsistent Interval `json:"inconsistent"`
	AlwaysFirst  Interval `json:"always_first"`
	AlwaysSecond Interval `json:"always_second"`
	// FirstPlace is the mean probability of A among A and B, over all questions: 0.5 is no bias. LogOdds is the mean
	// bias in nats.
	FirstPlace Interval `json:"first_place"`
	LogOdds    Interval `json:"log_odds"`
}

// Contest sets two policies against each other: Wins is the share of their pairs in which the first one's answer is
// preferred, ties left out.
type Contest struct {
	First  string   `json:"first"`
	Second string   `json:"second"`
	Wins   Interval `json:"wins"`
	Ties   int      `json:"ties"`
}
