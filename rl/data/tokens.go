package data

import (
	"fmt"

	"steer/ggml/lm"
	"steer/internal/strictjson"
)

// Example is a token sequence with its loss mask.
type Example struct {
	IDs []int32 // [n]
	// Mask[i] true: -log p(IDs[i] | IDs[:i]) counts. Mask[0] never does. [n]
	Mask []bool
	Line int // of the source file; 0 if made otherwise
}

// Targets gives the positions whose log-probability counts, ascending.
func (e Example) Targets() []int32 {
	var out []int32
	for i := 1; i < len(e.Mask); i++ {
		if e.Mask[i] {
			out = append(out, int32(i))
		}
	}
	return out
}

// Sequence gives the example as the engine takes it.
func (e Example) Sequence(dropoutSeed uint64) lm.Sequence {
	return lm.Sequence{Tokens: e.IDs, Targets: e.Targets(), DropoutSeed: dropoutSeed}
}

// ReadTokens reads pre-tokenised {"ids": [...], "mask": [...]} lines. Mask
// elements are 0/1 or false/true; without a mask every token counts.
func ReadTokens(path string) ([]Example, error) {
	type row struct {
		IDs  []int64   `json:"ids"`
		Mask []maskBit `json:"mask"`
	}
	var out []Example
	err := readJSONLines(FormatTokens, path, defaultLimits(), func(s *source, line int, v *row) error {
		ids, err := tokenIDs(s, line, "ids", v.IDs)
		if err != nil {
			return err
		}
		if v.Mask != nil && len(v.Mask) != len(ids) {
			return s.bad(line, "mask", fmt.Sprintf("%d elements, one for each id", len(ids)), fmt.Sprint(len(v.Mask)))
		}
		e := Example{IDs: ids, Mask: make([]bool, len(ids)), Line: line}
		for i := range e.Mask {
			e.Mask[i] = v.Mask == nil || bool(v.Mask[i])
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// ReadTokenPairs reads pre-tokenised {"chosen_ids": [...], "rejected_ids": [...]} lines.
func ReadTokenPairs(path string) ([]Pair, error) {
	type row struct {
		Chosen   []int64 `json:"chosen_ids"`
		Rejected []int64 `json:"rejected_ids"`
		Margin   float64 `json:"margin"`
	}
	var out []Pair
	err := readJSONLines(FormatTokenPairs, path, defaultLimits(), func(s *source, line int, v *row) error {
		chosen, err := tokenIDs(s, line, "chosen_ids", v.Chosen)
		if err != nil {
			return err
		}
		rejected, err := tokenIDs(s, line, "rejected_ids", v.Rejected)
		if err != nil {
			return err
		}
		out = append(out, Pair{ChosenIDs: chosen, RejectedIDs: rejected, Margin: v.Margin, Source: s.path, Line: line})
		return nil
	})
	return out, err
}

// tokenIDs checks ids read from a file. Whether they are inside the vocabulary
// is checked where the vocabulary is known, see CheckVocab.
func tokenIDs(s *source, line int, field string, ids []int64) ([]int32, error) {
	if ids == nil {
		return nil, s.need(line, field, "a list of token ids")
	}
	if len(ids) == 0 {
		return nil, s.bad(line, field, "at least one token id", "an empty list")
	}
	out := make([]int32, len(ids))
	for i, id := range ids {
		if id < 0 || id > 1<<30 {
			return nil, s.bad(line, fmt.Sprintf("%s[%d]", field, i), "a token id", fmt.Sprint(id))
		}
		out[i] = int32(id)
	}
	return out, nil
}

// CheckVocab returns an error wrapping lm.ErrBadToken for the first id that is
// not below vocabSize.
func CheckVocab(ids []int32, vocabSize int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= vocabSize {
			return fmt.Errorf("data: token %d is %d, the vocabulary has %d: %w", i, id, vocabSize, lm.ErrBadToken)
		}
	}
	return nil
}

// maskBit reads 0, 1, false or true.
type maskBit bool

func (m *maskBit) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "1", "true":
		*m = true
	case "0", "false":
		*m = false
	default:
		return strictjson.Wanted("0 or 1", text)
	}
	return nil
}
