package dpo

import "math"

// objective is the loss of a mini-batch: each item adds its share, divided once by what the whole mini-batch
// has, so that neither the split into passes nor their order weighs in.
type objective struct {
	cfg Config
	n   float64 // pairs, or answers where the loss reads these
	// sftTokens is the number of tokens of all chosen answers.
	sftTokens float64
	// kl is KTO's reference point.
	kl    float64
	tally tally
}

// newObjective is that of the items of a mini-batch.
func newObjective(cfg Config, items []Item) *objective {
	o := &objective{cfg: cfg}
	for _, it := range items {
		if cfg.Loss.Unpaired() {
			o.n += float64(len(it.rows()))
		} else {
			o.n++
		}
		if it.Chosen != nil {
			o.sftTokens += float64(len(it.Chosen.Targets))
		}
	}
	return o
}

// empty is the objective of the same items with nothing added yet.
func (o *objective) empty() *objective {
	fresh := *o
	fresh.tally = tally{}
	return &fresh
}

// add accounts for an item, given the log-probabilities of its rows' targets, and gives the gradient of the
// mini-batch's loss by them.
func (o *objective) add(it Item, logprobs [][]float32) (gradient [][]float32) {
	d := o.derivatives(it, logprobs)
	for i, r := range it.rows() {
		g := make([]float32, len(r.Targets))
		for x := range g {
			weight := 1.0
			if x >= r.shared {
				weight = o.cfg.LDAlpha
			}
			g[x] = float32(d[i] * weight / o.n)
		}
		gradient = append(gradient, g)
	}
	if w := o.cfg.sftWeight(); w > 0 && it.Chosen != nil {
		for x, lp := range logprobs[0] {
			o.tally.NLL -= float64(lp) / o.sftTokens
			o.tally.Loss -= w * float64(lp) / o.sftTokens
			gradient[0][x] -= float32(w / o.sftTokens)
		}
	}
	return gradient
}

// derivatives adds the item's loss and gives its derivatives by the log-probabilities of its answers, not yet
// divided by the items.
func (o *objective) derivatives(it Item, logprobs [][]float32) []float64 {
	rows := it.rows()
	totals := make([]float64, len(rows))
	for i, r := range rows {
		totals[i] = r.sum(logprobs[i]).total(o.cfg.LDAlpha)
	}
	if o.cfg.Loss.Unpaired() {
		d := make([]float64, len(rows))
		for i, r := range rows {
			ratio := totals[i] - r.ref.total(o.cfg.LDAlpha)
			value, dRatio := o.cfg.ExampleLoss(o.cfg.Loss, r == it.Chosen, ratio, o.kl)
			o.tally.Loss += value / o.n
			d[i] = dRatio
			o.tally.answer(r == it.Chosen, o.cfg.Beta*ratio, totals[i])
		}
		o.tally.compare(it)
		return d
	}
	w, l := totals[0], totals[1]
	nw, nl := float64(len(it.Chosen.Targets)), float64(len(it.Rejected.Targets))
	var value, dW, dL float64
	if o.cfg.Loss.ReferenceFree() {
		value, dW, dL = o.cfg.FreeLoss(o.cfg.Loss, Sums{W: w, L: l, NW: nw, NL: nl})
		if o.cfg.Loss != CPO { // averages are what these compare
			w, l = w/nw, l/nl
		}
		o.tally.answer(true, o.cfg.Beta*w, w)
		o.tally.answer(false, o.cfg.Beta*l, l)
	} else {
		m := Margins{W: w - it.Chosen.ref.total(o.cfg.LDAlpha), L: l - it.Rejected.ref.total(o.cfg.LDAlpha), NW: nw,
			NL: nl}
		value, dW, dL = o.cfg.PairLoss(o.cfg.Loss, m)
		o.tally.answer(true, o.cfg.Beta*m.W, w)
		o.tally.answer(false, o.cfg.Beta*m.L, l)
	}
	o.tally.compare(it)
	o.tally.Loss += value / o.n
	return []float64{dW, dL}
}

// tally is what a mini-batch, or held-out items, came to. A reward is the implicit one, β log π/π_ref, or, in
// losses without a reference policy, β log π (a token in orpo and simpo).
type tally struct {
	Loss, NLL        float64
	Chosen, Rejected side
	// Margins are the differences of the rewards of pairs, in the order of the items.
	Margins []float64
	// Singles counts answers that stand alone, Right those of them whose reward has the sign of their label.
	Singles, Right int
}

// side is what one side's answers came to.
type side struct {
	Rewards, Logps []float64
}

func (t *tally) answer(chosen bool, reward, logp float64) {
	s := &t.Rejected
	if chosen {
		s = &t.Chosen
	}
	s.Rewards, s.Logps = append(s.Rewards, reward), append(s.Logps, logp)
}

// compare looks at the answers of the item that was added last.
func (t *tally) compare(it Item) {
	last := func(x []float64) float64 { return x[len(x)-1] }
	switch {
	case it.Chosen != nil && it.Rejected != nil:
		t.Margins = append(t.Margins, last(t.Chosen.Rewards)-last(t.Rejected.Rewards))
		return
	case it.Chosen != nil && last(t.Chosen.Rewards) > 0, it.Rejected != nil && last(t.Rejected.Rewards) < 0:
		t.Right++
	}
	t.Singles++
}

// correct counts the pairs whose chosen answer has the higher reward, and single answers on their side of 0.
func (t *tally) correct() (correct, ties, of int) {
	correct, of = t.Right, t.Singles+len(t.Margins)
	for _, m := range t.Margins {
		switch {
		case m > 0:
			correct++
		case m == 0:
			ties++
		}
	}
	return correct, ties, of
}

// metrics are the numbers under the names that TRL logs; prefix is "" or "eval_".
func (t *tally) metrics(prefix string) map[string]float64 {
	m := map[string]float64{prefix + "loss": t.Loss}
	put := func(name string, x []float64) {
		if len(x) > 0 {
			m[prefix+name] = mean(x)
		}
	}
	put("rewards/chosen", t.Chosen.Rewards)
	put("rewards/rejected", t.Rejected.Rewards)
	put("logps/chosen", t.Chosen.Logps)
	put("logps/rejected", t.Rejected.Logps)
	if margin, ok := t.margin(); ok {
		m[prefix+"rewards/margins"] = margin
	}
	if correct, _, of := t.correct(); of > 0 {
		m[prefix+"rewards/accuracies"] = float64(correct) / float64(of)
	}
	return m
}

// margin is the mean difference of rewards: of pairs, or of the means of single answers of both kinds.
func (t *tally) margin() (float64, bool) {
	if len(t.Margins) > 0 {
		return mean(t.Margins), true
	}
	if len(t.Chosen.Rewards) == 0 || len(t.Rejected.Rewards) == 0 {
		return 0, false
	}
	return mean(t.Chosen.Rewards) - mean(t.Rejected.Rewards), true
}

func mean(x []float64) (m float64) {
	if len(x) == 0 {
		return math.NaN()
	}
	for _, v := range x {
		m += v
	}
	return m / float64(len(x))
}
