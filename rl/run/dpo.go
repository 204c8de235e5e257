package run

// DPO is result.json of a policy that was steered by preferences.
type DPO struct {
	Record
	DPOSummary

	Theory   string `json:"theory"`
	Preset   string `json:"preset"`
	Template string `json:"template,omitempty"`
	Recipe   string `json:"recipe"` // how pairs were made of rows

	// TrainPairs and HeldOutPairs say where the pairs are from; Overlap what they share.
	TrainPairs   PairSource  `json:"train_pairs"`
	HeldOutPairs PairSource  `json:"held_out_pairs"`
	Overlap      PairOverlap `json:"overlap"`
}

// DPOSummary is what the trainer says of its run.
type DPOSummary struct {
	Loss string `json:"loss_type"`
	// TrainCounts and HeldOutCounts say what became of the pairs as tokens.
	TrainCounts   PairCounts `json:"train_counts"`
	HeldOutCounts PairCounts `json:"held_out_counts"`
	// DataSHA256 is over the token ids and counted positions of both, in order.
	DataSHA256 string `json:"data_sha256"`

	Steps  int64 `json:"steps"`
	Tokens int64 `json:"tokens"` // through the model in training
	// LossFirst is the loss of the first step, LossLast the mean over the last (at most 50).
	LossFirst float64 `json:"loss_first"`
	LossLast  float64 `json:"loss_last"`
	// HeldOut is measured after the last step, Clean on those of the pairs that share neither prompt nor text
	// with a train pair (nil where that is all or none of them).
	HeldOut *ImplicitRewards `json:"held_out,omitempty"`
	Clean   *ImplicitRewards `json:"held_out_clean,omitempty"`
	// Alerts are sentences for people, which the record takes over.
	Alerts []string `json:"-"`
}

// ImplicitRewards is what held-out preferences say of a policy.
type ImplicitRewards struct {
	// Accuracy is the share of pairs whose chosen answer has the higher implicit reward, with its Wilson
	// interval at 95 %; a single answer counts as right where its reward has the sign of its label.
	Accuracy Interval `json:"accuracy"`
	Ties     int      `json:"ties"` // pairs of equal rewards; counted as wrong
	Loss     float64  `json:"loss"`
	// Margin is the mean difference of the rewards of chosen and rejected; its ends are Student's, known for
	// two pairs or more.
	Margin *Interval `json:"margin,omitempty"`
	// Chosen and Rejected are mean rewards, LogpsChosen and LogpsRejected mean log-probabilities in nats; nil
	// where there is no such answer.
	Chosen        *float64 `json:"chosen,omitempty"`
	Rejected      *float64 `json:"rejected,omitempty"`
	LogpsChosen   *float64 `json:"logps_chosen,omitempty"`
	LogpsRejected *float64 `json:"logps_rejected,omitempty"`
}

// Check finds what contradicts itself.
func (d *DPO) Check() error {
	errs := []error{d.Record.check()}
	for _, h := range []struct {
		field string
		*ImplicitRewards
	}{{"held_out", d.HeldOut}, {"held_out_clean", d.Clean}} {
		if h.ImplicitRewards != nil {
			errs = append(errs, (&Accuracy{Interval: h.Accuracy}).check(h.field+".accuracy"))
			if h.Margin != nil {
				errs = append(errs, h.Margin.check(h.field+".margin"))
			}
		}
	}
	return first(errs)
}
