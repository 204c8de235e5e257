package dpo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"steer/ggml/lm"
	"steer/internal/recordfile"
	"steer/rl/data"
	"steer/rl/train"
)

// Reference is the policy that is not to be left: the same model without the adapter that is trained.
type Reference struct {
	// Model answers; nil where the loss needs none.
	Model lm.Evaluator
	// Depends are the texts that its answers depend on besides the tokens: hashes of base and adapters, the
	// template, the arithmetic.
	Depends []string
	// Path is a file that keeps what was computed; "" keeps nothing.
	Path string
}

// referred is a line of the file.
type referred struct {
	ID string `json:"id"` // of what the answer depends on
	sums
}

// saveEvery is how often the file is written while it grows: a kill loses no more.
const saveEvery = 30 * time.Second

// chunk is how many sequences are asked before a request to stop is heard.
const chunk = 64

// id names all that a row's log-probability depends on.
func (r Reference) id(row *Row) string {
	f := data.NewFingerprint()
	for _, text := range r.Depends {
		f.Text(text)
	}
	f.IDs(row.Tokens)
	f.IDs(row.Targets)
	f.IDs([]int32{int32(row.shared)})
	return f.Sum()
}

// fill asks the reference policy about rows, each once: what the file knows is not computed again.
func (r Reference) fill(ctx context.Context, d train.Deps, rows []*Row, passTokens int) error {
	known, err := r.read()
	if err != nil {
		d.Warn("%v: reference log-probabilities are computed again", err)
		known = map[string]sums{}
	}
	ids := make([]string, len(rows))
	var missing []*Row
	var names []string
	asked := map[string]bool{}
	for i, row := range rows {
		ids[i] = r.id(row)
		if _, ok := known[ids[i]]; !ok && !asked[ids[i]] {
			asked[ids[i]] = true
			missing, names = append(missing, row), append(names, ids[i])
		}
	}
	switch {
	case len(missing) == 0:
		d.Note("reference log-probabilities: all %d are known from %s", len(rows), r.Path)
	case len(known) > 0:
		d.Note("reference log-probabilities: %d of %d are known, the others are computed", len(rows)-len(missing),
			len(rows))
	default:
		d.Note("reference log-probabilities: computing %d", len(missing))
	}
	if err := r.compute(ctx, d, missing, names, known, passTokens); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	for i, row := range rows {
		row.ref = known[ids[i]]
	}
	return nil
}

// read gives what the file knows.
func (r Reference) read() (map[string]sums, error) {
	known := map[string]sums{}
	if r.Path == "" {
		return known, nil
	}
	lines, err := recordfile.Read[referred](r.Path, recordfile.RefuseUnknown)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	for _, l := range lines {
		known[l.ID] = l.sums
	}
	return known, err
}

// write keeps what is known.
func (r Reference) write(known map[string]sums) error {
	if r.Path == "" {
		return nil
	}
	var lines []referred
	for _, id := range slices.Sorted(maps.Keys(known)) {
		lines = append(lines, referred{id, known[id]})
	}
	return recordfile.Write(r.Path, lines)
}

// compute asks about rows and keeps the answers under their names, now and then on disk.
func (r Reference) compute(
	ctx context.Context, d train.Deps, rows []*Row, names []string, known map[string]sums, passTokens int,
) error {
	if len(rows) == 0 {
		return nil
	}
	pass, saved := d.Pass("reference", len(rows)), time.Now()
	for from := 0; from < len(rows); from += chunk {
		part := rows[from:min(from+chunk, len(rows))]
		if d.Stopper.Stopping() {
			return errors.Join(train.ErrInterrupted, r.write(known))
		}
		out, err := train.Evaluate(ctx, r.Model, sequences(part), passTokens, lm.Options{})
		if err != nil {
			return err
		}
		for i, row := range part {
			s := row.sum(out.Logprobs[i])
			if err := train.CheckFinite(0, "reference log-probability", s.total(1)); err != nil {
				return err
			}
			known[names[from+i]] = s
		}
		pass.Done(from + len(part))
		if time.Since(saved) > saveEvery {
			if err := r.write(known); err != nil {
				return err
			}
			saved = time.Now()
		}
	}
	return r.write(known)
}

// sequences are those of rows.
func sequences(rows []*Row) []lm.Sequence {
	out := make([]lm.Sequence, len(rows))
	for i, r := range rows {
		out[i] = r.sequence()
	}
	return out
}

// fingerprint is the SHA-256 of everything a run reads, for telling changed data.
func fingerprint(parts ...[]Item) string {
	f := data.NewFingerprint()
	for _, items := range parts {
		f.IDs([]int32{int32(len(items))})
		for _, it := range items {
			for _, r := range []*Row{it.Chosen, it.Rejected} {
				if r == nil {
					r = &Row{}
				}
				f.IDs(r.Tokens)
				f.IDs(r.Targets)
			}
		}
	}
	return f.Sum()
}
