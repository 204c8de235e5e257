package score

import (
	"encoding/json"
	"fmt"
	"math"

	"steer/ggml/lm"
)

// Record is what is known of a row once it was evaluated. encoding/json writes a float32 as the
// shortest decimal that reads back as the same float32.
type Record struct {
	Line      int         `json:"line"` // of the input
	IDs       []int32     `json:"ids"`
	Positions []int32     `json:"positions,omitempty"` // of logprobs and entropy, where they are not 1, 2, 3, ...
	Logprobs  []float32   `json:"logprobs,omitzero"`   // log p(ids[i] | ids[:i]), nats
	Entropy   []float32   `json:"entropy,omitzero"`    // of the distribution that predicts ids[i], nats
	Head      *HeadOutput `json:"head,omitempty"`      // as the head gives it
	Score     *HeadOutput `json:"score,omitempty"`     // normalised as the adapter says
	Sum       *float64    `json:"sum,omitempty"`       // of logprobs
	N         *int        `json:"n,omitempty"`
	// Perplexity is exp(-sum/n); nil where n is 0, or where it is infinite.
	Perplexity *float64 `json:"perplexity,omitempty"`
	Text       *string  `json:"text,omitempty"`
	Prompt     *string  `json:"prompt,omitempty"`
	Response   *string  `json:"response,omitempty"`
}

// HeadOutput is the scalar head's output, one value for each position where it was read.
type HeadOutput struct {
	Values []float32
	// Last: it was read at the last position alone, and is written as a number instead of a list.
	Last bool
}

// MarshalJSON implements json.Marshaler.
func (h HeadOutput) MarshalJSON() ([]byte, error) {
	if h.Last {
		return json.Marshal(h.Values[0])
	}
	return json.Marshal(h.Values)
}

// record makes the record of sequence j of a batch.
func (s *Scorer) record(q Sequence, out *lm.Output, j int) (*Record, error) {
	r := &Record{Line: q.row.Line, IDs: q.ids, Text: q.row.Text, Prompt: q.row.Prompt, Response: q.row.Response}
	if q.partial && (s.opt.Logprobs || s.opt.Entropy) {
		r.Positions = q.targets
	}
	if s.opt.Logprobs {
		r.Logprobs = append([]float32{}, out.Logprobs[j]...)
		if err := finite("log-probability", r.Logprobs); err != nil {
			return nil, err
		}
		sum, n := 0.0, len(r.Logprobs)
		for _, lp := range r.Logprobs {
			sum += float64(lp)
		}
		r.Sum, r.N = &sum, &n
		if p := math.Exp(-sum / float64(n)); n > 0 && !math.IsInf(p, 0) {
			r.Perplexity = &p
		}
	}
	if s.opt.Entropy {
		r.Entropy = append([]float32{}, out.Entropy[j]...)
		if err := finite("entropy", r.Entropy); err != nil {
			return nil, err
		}
	}
	if s.opt.Head {
		raw := out.Heads[j]
		if err := finite("head", raw); err != nil {
			return nil, err
		}
		scores := make([]float32, len(raw))
		for i, x := range raw {
			scores[i] = s.head.Head.Normalise(x)
		}
		last := s.opt.Positions != AllPositions
		r.Head, r.Score = &HeadOutput{raw, last}, &HeadOutput{scores, last}
	}
	return r, nil
}

func finite(what string, values []float32) error {
	for i, x := range values {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("%s %d is %v: the model or an adapter is damaged, or its training diverged", what, i, x)
		}
	}
	return nil
}
