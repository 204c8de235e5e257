package pipeline

import (
	"context"
	"fmt"
)

// Suggestion is a change of settings that leaves what comes out as it is, up to the
// rounding of sums.
type Suggestion struct {
	Settings []Setting `json:"settings"`
	Peak     int64     `json:"peak_bytes"` // with them
	Why      string    `json:"why"`
}

// Setting is a key of a job's file and its value.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// String is how the setting is written for --set.
func (s Setting) String() string { return fmt.Sprintf("%s=%v", s.Key, s.Value) }

// most tries of smaller batches before giving up.
const suggestTries = 12

// suggest looks for settings with which a job fits into what is free: first checkpointing,
// then smaller micro-batches. For one that fits it looks whether it would still, kept
// activations making it faster. Nil: nothing to suggest.
func (b *Bench) suggest(ctx context.Context, job Job, p *StagePlan) (*Suggestion, error) {
	const faster = "faster, no layer is computed twice"
	if p.Fits {
		if p.OtherPeak > 0 && !p.KeepActivations && p.OtherPeak <= p.Free {
			return &Suggestion{Settings: []Setting{{"engine.keep_activations", true}}, Peak: p.OtherPeak, Why: faster}, nil
		}
		return nil, nil
	}
	s := &Suggestion{Why: "fits"}
	job = duplicate(job)
	if k := knobsOf(job); p.KeepActivations {
		*k.keep = false
		s.Settings, s.Peak = append(s.Settings, Setting{"engine.keep_activations", false}), p.OtherPeak
		if p.OtherPeak <= p.Free && p.fits(0, p.HostFree) {
			return s, nil
		}
	}
	best := p.Peak
	for range suggestTries {
		if !shrink(job) {
			return nil, nil
		}
		smaller, err := b.plan(ctx, job, p.Stage)
		if err != nil {
			return nil, err
		}
		if smaller.fits(p.Free, p.HostFree) {
			s.Peak = smaller.Peak
			for _, k := range knobsOf(job).sizes {
				s.Settings = append(s.Settings, Setting{k.key, *k.value})
			}
			return s, nil
		}
		if smaller.Peak >= best && smaller.LargestBatch <= smaller.Longest {
			return nil, nil // single sequences are the least that can be computed
		}
		best = min(best, smaller.Peak)
	}
	return nil, nil
}

// knobs are the settings of a job that trade memory for speed.
type knobs struct {
	keep  *bool
	sizes []knob
}

type knob struct {
	key     string
	value   *int
	divisor bool // values have to divide the one given
}

func knobsOf(job Job) knobs {
	micro := func(size, tokens *int) knob {
		if *size > 0 {
			return knob{"micro_batch_size", size, true}
		}
		return knob{"micro_batch_tokens", tokens, false}
	}
	switch j := job.(type) {
	case *SFT:
		return knobs{&j.Engine.KeepActivations, []knob{micro(&j.MicroBatchSize, &j.MicroBatchTokens)}}
	case *Reward:
		return knobs{&j.Engine.KeepActivations, []knob{micro(&j.MicroBatchSize, &j.MicroBatchTokens)}}
	case *PPO:
		return knobs{&j.Engine.KeepActivations, []knob{
			{"micro_batch_size", &j.MicroBatchSize, true}, {"score_batch_tokens", &j.ScoreBatchTokens, false}, {"engine.sequences", &j.Engine.Sequences, false}}}
	case *Eval:
		return knobs{&j.Engine.KeepActivations, []knob{{"batch_tokens", &j.BatchTokens, false}, {"engine.sequences", &j.Engine.Sequences, false}}}
	}
	return knobs{keep: new(bool)}
}

// duplicate is a job whose settings can be changed alone.
func duplicate(job Job) Job {
	switch j := job.(type) {
	case *SFT:
		c := *j
		return &c
	case *Reward:
		c := *j
		return &c
	case *PPO:
		c := *j
		return &c
	case *Eval:
		c := *j
		return &c
	}
	return job
}

// shrink halves every batch size of a job, to the next divisor where it has to be one;
// false if none can be made smaller.
func shrink(job Job) bool {
	any := false
	for _, k := range knobsOf(job).sizes {
		n := *k.value / 2
		for k.divisor && n > 1 && *k.value%n != 0 {
			n--
		}
		if n >= 1 {
			*k.value, any = n, true
		}
	}
	return any
}
