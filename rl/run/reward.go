package run

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Reward is result.json of a reward model.
type Reward struct {
	Record

	Theory   string `json:"theory"`
	Preset   string `json:"preset"`
	Form     string `json:"form"`
	Template string `json:"template,omitempty"` // of the chat form
	Recipe   string `json:"recipe"`             // how pairs were made of rows

	// TrainPairs and HeldOutPairs say where the pairs are from; Overlap what they share.
	TrainPairs   PairSource  `json:"train_pairs"`
	HeldOutPairs PairSource  `json:"held_out_pairs"`
	Overlap      PairOverlap `json:"overlap"`
	// TrainCounts and HeldOutCounts say what became of them as tokens.
	TrainCounts   PairCounts `json:"train_counts"`
	HeldOutCounts PairCounts `json:"held_out_counts"`

	Steps  int64 `json:"steps"`
	Tokens int64 `json:"tokens"` // through the model in training
	// LossFirst is the loss of the first step, Loss the mean over the last (at most 50).
	LossFirst float64 `json:"loss_first"`
	Loss      float64 `json:"loss"`

	// Accuracy is that on all held-out pairs, Clean on those of them that share neither
	// prompt nor text with a train pair (nil where that is all or none of them).
	Accuracy *Accuracy     `json:"accuracy,omitempty"`
	Clean    *PairAccuracy `json:"accuracy_clean,omitempty"`
	// Chosen and Rejected describe the raw scores of the held-out sides, Histograms draw them
	// in bins that they share.
	Chosen     Distribution `json:"chosen"`
	Rejected   Distribution `json:"rejected"`
	Histograms []Histogram  `json:"histograms,omitempty"`
	// Classification is that of single texts at the threshold 0; nil where pairs were
	// compared.
	Classification *Classification `json:"classification,omitempty"`
	// Normalisation is what was stored with the head; nil without.
	Normalisation *RewardNormalisation `json:"normalisation,omitempty"`
}

// Check finds what contradicts itself.
func (r *Reward) Check() error {
	errs := []error{r.Record.check()}
	if r.Accuracy != nil {
		errs = append(errs, r.Accuracy.check("accuracy"))
	}
	if n := r.Normalisation; n != nil && n.Std < 0 {
		errs = append(errs, fmt.Errorf("field %q: want >= 0, got %g", "normalisation.std", n.Std))
	}
	for i, h := range r.Histograms {
		errs = append(errs, h.check(fmt.Sprintf("histograms[%d]", i)))
	}
	return first(errs)
}

// first is the first error of a list: the others may follow from it.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// PairSource says how pairs were made of a file.
type PairSource struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	Recipe string `json:"recipe"`
	Rows   int    `json:"rows"`   // in the file
	Groups int    `json:"groups"` // scenarios of the part; rows where a row is a pair
	Built  int    `json:"built"`  // pairs made
	Pairs  int    `json:"pairs"`  // pairs kept after limit and overlap
	// Identical pairs (equal texts) were left out.
	Identical int `json:"identical,omitempty"`
	// Notes count the odd cases of the file that were kept.
	Notes []string `json:"notes,omitempty"`
	// SHA256 is over the kept pairs.
	SHA256 string `json:"sha256"`
}

// PairOverlap says what held-out pairs share with train pairs, verbatim. A held-out accuracy is
// not about unseen cases as far as they do.
type PairOverlap struct {
	Pairs int `json:"pairs"` // held-out pairs
	// SharedPrompt: the scenario (or the dialogue before the answer) is in a train pair.
	SharedPrompt int `json:"shared_prompt"`
	// OneSide: the chosen or the rejected whole text is in a train pair, on whatever side.
	OneSide int `json:"one_side"`
	// BothSides: both whole texts are, perhaps in different pairs.
	BothSides int `json:"both_sides"`
	// WholePair: the pair itself is in the train pairs.
	WholePair int `json:"whole_pair"`
	// Clean: held-out pairs with none of these.
	Clean int `json:"clean"`
}

// String says it in a line.
func (o PairOverlap) String() string {
	return fmt.Sprintf("%d held-out pairs: %d share their prompt with a train pair, %d a text, %d both texts, "+
		"%d are train pairs; %d share nothing", o.Pairs, o.SharedPrompt, o.OneSide, o.BothSides, o.WholePair, o.Clean)
}

// PairCounts says what became of pairs as tokens; it is printed and goes into the result.
type PairCounts struct {
	In        int `json:"in"`
	Kept      int `json:"kept"`
	Dropped   int `json:"dropped"`   // a side longer than max_length
	Truncated int `json:"truncated"` // kept, a side cut to the limit
	Identical int `json:"identical"` // dropped: both sides have the same tokens
	// CutEqual pairs were dropped because their sides are equal once they are cut.
	CutEqual int `json:"cut_equal,omitempty"`
	// Refused pairs were dropped because a model's own chat template does not take them.
	Refused int `json:"refused,omitempty"`
	// NoAnswer pairs were dropped because a side, once cut, has no token of its answer left.
	NoAnswer int `json:"no_answer,omitempty"`
	// Prompts counts pairs, kept, whose two answers are not to the same prompt; of a policy only.
	Prompts int   `json:"two_prompts,omitempty"`
	Tokens  int64 `json:"tokens"`  // of both sides of what was kept
	Longest int   `json:"longest"` // side, before cutting
}

// String says it in a line.
func (c PairCounts) String() string {
	s := fmt.Sprintf("%d of %d pairs kept (%d tokens, longest side %d)", c.Kept, c.In, c.Tokens, c.Longest)
	if c.Dropped > 0 {
		s += fmt.Sprintf(", %d too long and dropped", c.Dropped)
	}
	if c.Refused > 0 {
		s += fmt.Sprintf(", %d refused by the model's chat template and dropped", c.Refused)
	}
	if c.Truncated > 0 {
		s += fmt.Sprintf(", %d too long and cut from the left", c.Truncated)
	}
	if c.Identical > 0 {
		s += fmt.Sprintf(", %d with two equal sides dropped", c.Identical)
	}
	if c.CutEqual > 0 {
		s += fmt.Sprintf(", %d that are equal once cut dropped", c.CutEqual)
	}
	if c.NoAnswer > 0 {
		s += fmt.Sprintf(", %d without an answer once cut dropped", c.NoAnswer)
	}
	if c.Prompts > 0 {
		s += fmt.Sprintf("; of %d the two answers are to different prompts", c.Prompts)
	}
	return s
}

// PairAccuracy is how often the chosen side of held-out pairs scores higher.
type PairAccuracy struct {
	Pairs   int `json:"pairs"`
	Correct int `json:"correct"` // chosen strictly higher
	Ties    int `json:"ties"`    // equal scores; counted as wrong
	// Accuracy = Correct/Pairs with its Wilson interval at 95 %.
	Accuracy float64 `json:"accuracy"`
	Lo       float64 `json:"lo"`
	Hi       float64 `json:"hi"`
	// Loss is the mean of -log sigmoid(r_chosen - r_rejected), Margin the mean difference.
	Loss   float64 `json:"loss"`
	Margin float64 `json:"margin"`
}

// String says it in a line.
func (a PairAccuracy) String() string {
	return fmt.Sprintf("%d of %d pairs right: %.4f (95 %% interval %.4f to %.4f), loss %.4f, margin %.4f",
		a.Correct, a.Pairs, a.Accuracy, a.Lo, a.Hi, a.Loss, a.Margin)
}

// Summary is the same in the form of an interval.
func (a PairAccuracy) Summary() *Accuracy {
	return &Accuracy{
		Interval: NewInterval(a.Accuracy, a.Lo, a.Hi, a.Pairs), Ties: a.Ties, Loss: a.Loss, Margin: a.Margin,
	}
}

// Accuracy is a [PairAccuracy] in the form of an interval, which other programs may write bare.
type Accuracy struct {
	Interval
	Ties   int     `json:"ties"`
	Loss   float64 `json:"loss"`
	Margin float64 `json:"margin"`
}

// UnmarshalJSON takes what an interval takes, and what is beside it.
func (a *Accuracy) UnmarshalJSON(b []byte) error {
	*a = Accuracy{}
	if err := json.Unmarshal(b, &a.Interval); err != nil || len(b) == 0 || b[0] != '{' {
		return err
	}
	beside := struct {
		Ties         *int
		Loss, Margin *float64
	}{&a.Ties, &a.Loss, &a.Margin}
	return json.Unmarshal(b, &beside)
}

func (a *Accuracy) check(field string) error {
	if err := a.Interval.check(field); err != nil {
		return err
	}
	if a.Mean < 0 || a.Mean > 1 {
		return fmt.Errorf("field %q: want a share in [0, 1], got %g", field+".mean", a.Mean)
	}
	return nil
}

// Distribution describes a set of raw scores.
type Distribution struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	// Std is the standard deviation with n in the denominator, so that normalising by
	// Mean and Std gives exactly mean 0 and standard deviation 1.
	Std float64 `json:"std"`
	// Quantiles at 0, 0.05, 0.25, 0.5, 0.75, 0.95 and 1.
	Quantiles [7]float64 `json:"quantiles"`
	// Histogram counts the scores in len(Histogram) bins of equal width from
	// HistogramLo to HistogramHi.
	HistogramLo float64 `json:"histogram_lo"`
	HistogramHi float64 `json:"histogram_hi"`
	Histogram   []int   `json:"histogram"`
}

// Drawn is the histogram with the edges of its bins.
func (d Distribution) Drawn(name string) Histogram {
	h := Histogram{Name: name, Edges: make([]float64, len(d.Histogram)+1), Counts: make([]float64, len(d.Histogram))}
	for i := range h.Edges {
		h.Edges[i] = d.HistogramLo + (d.HistogramHi-d.HistogramLo)*float64(i)/float64(len(d.Histogram))
	}
	for i, n := range d.Histogram {
		h.Counts[i] = float64(n)
	}
	return h
}

// Classification measures a classifier whose score is the log-odds of the chosen class.
type Classification struct {
	Chosen      int     `json:"chosen"` // texts of either class
	Rejected    int     `json:"rejected"`
	BalancedAcc float64 `json:"balanced_acc"`
	MCC         float64 `json:"mcc"` // 0 for a constant classifier
	AUC         float64 `json:"auc"` // 0.5 with one class only
}

// RewardNormalisation is what makes scores of the reference answers mean 0, deviation 1.
type RewardNormalisation struct {
	Normalisation
	References int `json:"references"`
	// Source says what the reference answers were.
	Source string `json:"source"`
}

// NewNormalisation takes what an adapter's head holds in 32 bits by its shortest decimal digits:
// that is how the number is written, and what a reader of the file gets.
func NewNormalisation(mean, std float32) Normalisation {
	return Normalisation{Mean: shortest(mean), Std: shortest(std)}
}

func shortest(x float32) float64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64) // the digits of a number are one
	return v
}
