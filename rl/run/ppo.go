package run

// PPO is result.json of a policy.
type PPO struct {
	Record
	PolicySummary
	Theory string `json:"theory"` // of the reward model, "" where there are several rewards
	// Rewards are the several, and Combine says how they become one.
	Rewards []RewardUse `json:"rewards,omitempty"`
	Combine string      `json:"combine,omitempty"`

	// Steps and Tokens are those of other programs; this one counts iterations and updates.
	Steps  int64 `json:"steps,omitempty"`
	Tokens int64 `json:"tokens,omitempty"`
}

// Check finds what contradicts itself.
func (p *PPO) Check() error { return first([]error{p.Record.check(), p.PolicySummary.check()}) }

// GRPO is result.json of a policy that was steered by groups of answers.
type GRPO struct {
	Record
	PolicySummary
	Theory string `json:"theory"` // of the reward model, "" where there are several rewards
	// Rewards are the several, and Combine says how they become one.
	Rewards []RewardUse `json:"rewards,omitempty"`
	Combine string      `json:"combine,omitempty"`
	Preset  string      `json:"preset"`
}

// Check finds what contradicts itself.
func (g *GRPO) Check() error { return first([]error{g.Record.check(), g.PolicySummary.check()}) }
