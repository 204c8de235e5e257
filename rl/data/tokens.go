package data

import (
	"errors"
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

// readTokens reads pre-tokenised {"ids": [...], "mask": [...]} rows. Mask
// elements are 0/1 or false/true; without a mask every token counts.
func readTokens(src Source) (out []Example, notes []string, err error) {
	notes, err = eachRecord(src, func(r *record) error {
		ids, err := r.tokenIDs("ids")
		if err != nil {
			return err
		}
		var mask []maskBit
		if err := r.list("mask", &mask); err != nil {
			return err
		}
		if mask != nil && len(mask) != len(ids) {
			return r.bad("mask", fmt.Sprintf("%d elements, one for each id", len(ids)), fmt.Sprint(len(mask)))
		}
		e := Example{IDs: ids, Mask: make([]bool, len(ids)), Line: r.row}
		for i := range e.Mask {
			e.Mask[i] = mask == nil || bool(mask[i])
		}
		out = append(out, e)
		return nil
	})
	return out, notes, err
}

// readTokenPairs reads pre-tokenised {"chosen_ids": [...], "rejected_ids": [...], "margin"?} rows.
func readTokenPairs(src Source) (out []Pair, notes []string, err error) {
	notes, err = eachRecord(src, func(r *record) error {
		p := Pair{Source: r.path, Line: r.row}
		if p.ChosenIDs, err = r.tokenIDs("chosen_ids"); err != nil {
			return err
		}
		if p.RejectedIDs, err = r.tokenIDs("rejected_ids"); err != nil {
			return err
		}
		out = append(out, p)
		return r.number("margin", &out[len(out)-1].Margin)
	})
	return out, notes, err
}

// list reads a field that is a list, if it is there.
func (r *record) list(name string, into any) error {
	if r.absent(name) {
		return nil
	}
	err := strictjson.Unmarshal(r.fields[name], into)
	var own *strictjson.Error
	if errors.As(err, &own) {
		inner := *own
		inner.Field = name + own.Field
		return r.wrong(&inner)
	}
	return err
}

// tokenIDs checks ids read from a file. Whether they are inside the vocabulary
// is checked where the vocabulary is known, see CheckVocab.
func (r *record) tokenIDs(field string) ([]int32, error) {
	if r.absent(field) {
		return nil, r.need(field, "a list of token ids")
	}
	var ids []*int64
	if err := r.list(field, &ids); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, r.bad(field, "at least one token id", "an empty list")
	}
	out := make([]int32, len(ids))
	for i, id := range ids {
		if id == nil {
			return nil, r.bad(fmt.Sprintf("%s[%d]", field, i), "a token id", "null")
		}
		if *id < 0 || *id > 1<<30 {
			return nil, r.bad(fmt.Sprintf("%s[%d]", field, i), "a token id", fmt.Sprint(*id))
		}
		out[i] = int32(*id)
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
