package benchmark

import "slices"

// Listed is a benchmark as a list of all shows it.
type Listed struct {
	Name string `json:"name"`
	// Protocols ask language models, RewardProtocols reward models.
	Protocols       []string `json:"protocols"`
	RewardProtocols []string `json:"reward_protocols"`
	// Keys are those of the data files it reads: the measured rows first.
	Keys []string `json:"-"`
}

// Benchmarks lists all that can be measured besides tasks of the user's own, each name once.
func Benchmarks() []Listed {
	c := DefaultConfig()
	var out []Listed
	entry := func(name string) *Listed {
		i := slices.IndexFunc(out, func(l Listed) bool { return l.Name == name })
		if i < 0 {
			i = len(out)
			out = append(out, Listed{Name: name, Protocols: []string{}, RewardProtocols: []string{}})
		}
		return &out[i]
	}
	for _, b := range c.Specs() {
		l := entry(b.Name)
		into := &l.Protocols
		if b.MeasuresRewards() {
			into = &l.RewardProtocols
		}
		*into = append(*into, b.Protocol)
		for _, f := range b.Inputs {
			if !slices.Contains(l.Keys, f.Key) {
				l.Keys = append(l.Keys, f.Key)
			}
		}
	}
	// What policies and reward models make together is described in no line of the registry.
	both := func(name, key string) {
		l := entry(name)
		l.Protocols, l.RewardProtocols, l.Keys = []string{"generate"}, []string{"score"}, []string{key}
	}
	both(NameGenerations, "generations")
	both(NameCrossReward, "cross_reward.prompts")
	return out
}
