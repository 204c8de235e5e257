package compare

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"
)

// Item is what is read of a record: what one model did on one item.
type Item struct {
	ID   string `json:"id"`
	Gold *int   `json:"gold"`
	// Pred is the predicted class; -1 with Refused or Tie.
	Pred     *int      `json:"pred"`
	Refused  bool      `json:"refused"`
	Tie      bool      `json:"tie"`      // the best choices scored the same
	LogProbs []float64 `json:"logprobs"` // of each choice, nats
}

// right tells whether the item was answered rightly.
func (x Item) right() bool { return !x.Refused && !x.Tie && *x.Pred == *x.Gold }

// Answer is what is read of a record of the cross-reward matrix: one answer of a policy
// with its raw score under every reward model.
type Answer struct {
	ID     string             `json:"id"` // of the prompt
	Policy string             `json:"policy"`
	Raw    map[string]float64 `json:"raw"`
}

// ErrNotClassified says that records hold no predictions that could be compared.
var ErrNotClassified = errors.New("records without gold label or prediction")

// ReadItems reads a file of records. Fields that it does not know are let be, so that
// records of other benchmarks can be read; a record without gold label or prediction is
// [ErrNotClassified].
func ReadItems(path string) ([]Item, error) {
	items, err := read[Item](path)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(items))
	for i, x := range items {
		switch {
		case x.Gold == nil || x.Pred == nil || *x.Gold < 0:
			return nil, fmt.Errorf("compare: %s: record %d: want fields %q and %q: %w",
				path, i+1, "gold", "pred", ErrNotClassified)
		case x.ID == "":
			return nil, fmt.Errorf("compare: %s: record %d: field %q is empty: items cannot be paired", path, i+1, "id")
		case seen[x.ID]:
			return nil, fmt.Errorf("compare: %s: record %d: field %q: %q occurs twice", path, i+1, "id", x.ID)
		case *x.Pred < 0 && !x.Refused && !x.Tie:
			return nil, fmt.Errorf("compare: %s: record %d: field %q: %d without %q or %q",
				path, i+1, "pred", *x.Pred, "refused", "tie")
		}
		seen[x.ID] = true
	}
	return items, nil
}

// ReadAnswers reads the answers of a cross-reward matrix.
func ReadAnswers(path string) ([]Answer, error) {
	answers, err := read[Answer](path)
	if err != nil {
		return nil, err
	}
	for i, a := range answers {
		if a.ID == "" || a.Policy == "" || len(a.Raw) == 0 {
			return nil, fmt.Errorf("compare: %s: record %d: want fields %q, %q and %q",
				path, i+1, "id", "policy", "raw")
		}
		for reward, v := range a.Raw {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("compare: %s: record %d: field %q: score under %q is %g",
					path, i+1, "raw", reward, v)
			}
		}
	}
	return answers, nil
}

// read reads Zstandard-compressed JSON Lines.
func read[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	defer f.Close()
	z, err := zstd.NewReader(bufio.NewReader(f), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
	if err != nil {
		return nil, fmt.Errorf("compare: %s: %w", path, err)
	}
	defer z.Close()
	dec := json.NewDecoder(z)
	var out []T
	for {
		var r T
		switch err := dec.Decode(&r); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("compare: %s: record %d: %w (want Zstandard-compressed JSON Lines)",
				path, len(out)+1, err)
		}
		out = append(out, r)
	}
}
