package run

// PPO is result.json of a policy.
type PPO struct {
	Record
	PolicySummary
	Theory string `json:"theory"` // of the reward model

	// Steps and Tokens are those of other programs; this one counts iterations and updates.
	Steps  int64 `json:"steps,omitempty"`
	Tokens int64 `json:"tokens,omitempty"`
}

// Check finds what contradicts itself.
func (p *PPO) Check() error {
	errs := []error{p.Record.check()}
	for _, h := range []struct {
		field string
		*HeldOut
	}{{"heldout_first", p.HeldoutFirst}, {"heldout_last", p.HeldoutLast}} {
		if h.HeldOut != nil {
			errs = append(errs, h.Score.check(h.field+".score"), h.Difference.check(h.field+".difference"),
				h.KL.check(h.field+".kl"))
		}
	}
	return first(errs)
}
