package compare

import (
	"errors"
	"fmt"
	"math"

	"steer/rl/run"
)

// answeredRight tells whether the item was answered rightly.
func answeredRight(x run.Prediction) bool { return !x.Refused && !x.Tie && *x.Pred == *x.Gold }

// ErrNotClassified says that records hold no predictions that could be compared.
var ErrNotClassified = errors.New("records without gold label or prediction")

// ReadItems reads a file of records. Fields that it does not know are let be, so that
// records of other benchmarks can be read; a record without gold label or prediction is
// [ErrNotClassified].
func ReadItems(path string) ([]run.Prediction, error) {
	items, err := run.ReadParts[run.Prediction](path)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
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
func ReadAnswers(path string) ([]run.Answer, error) {
	answers, err := run.ReadParts[run.Answer](path)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
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
