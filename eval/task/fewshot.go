package task

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"steer/internal/conf"
	"steer/internal/pyrandom"
	"steer/rl/data"
)

// fewshotSeed is what the harness draws examples with, unless it is told otherwise.
const fewshotSeed = 1234

// The samplers, by their names in the harness.
const (
	samplerDefault = "default" // drawn for every row
	samplerFirstN  = "first_n"
)

func (t *Task) readFewshot(s *source, f *file) error {
	if given(&f.NumFewshot) {
		n, err := strconv.Atoi(f.NumFewshot.Value)
		if err != nil || n < 0 {
			return s.fail("num_fewshot", f.NumFewshot.Line, "want a whole number, 0 or more, got %q",
				f.NumFewshot.Value)
		}
		t.NumFewshot = n
	}
	t.sampler, t.fewshotDelimiter, t.shotsDelimiter = samplerDefault, f.FewshotDelimiter, f.FewshotDelimiter
	t.shown = t.form
	for i := 0; i+1 < len(f.FewshotConfig.Content); i += 2 {
		if err := t.fewshotKey(s, f, f.FewshotConfig.Content[i].Value, f.FewshotConfig.Content[i+1]); err != nil {
			return err
		}
	}
	if t.NumFewshot == 0 {
		return nil
	}
	if t.samples != nil && given(&f.FewshotSplit) {
		t.samples = nil
		t.Notes = append(t.Notes, fmt.Sprintf("few-shot examples come from split %s; fewshot_config.samples "+
			"is not used", f.FewshotSplit.Value))
	}
	if t.indices != nil {
		t.Notes = append(t.Notes, "few-shot examples are drawn from the rows of fewshot_config.fewshot_indices; "+
			"lm-evaluation-harness 0.4.13 reads that key and ignores it")
	}
	return nil
}

// fewshotKey reads one key of fewshot_config.
func (t *Task) fewshotKey(s *source, f *file, name string, v *yaml.Node) (err error) {
	key := "fewshot_config." + name
	if v.Tag == "!!null" {
		return nil
	}
	switch name {
	case "sampler":
		if v.Value != samplerDefault && v.Value != samplerFirstN {
			return s.fail(key, v.Line, "want %s or %s, got %q", samplerDefault, samplerFirstN, v.Value)
		}
		t.sampler = v.Value
	case "split":
		f.FewshotSplit = *v
	case "samples":
		if v.Tag != functionTag {
			return t.readSamples(s, v)
		}
		f, err := s.function(key, v)
		if err != nil {
			return err
		}
		if t.samples, err = f.Samples(); err != nil {
			return s.fail(key, v.Line, "%v", err)
		}
	case "fewshot_delimiter":
		t.shotsDelimiter = v.Value
	case "target_delimiter":
		t.shotsTarget = &v.Value
	case "doc_to_text":
		t.shown.text, err = s.readField(key, v)
	case "doc_to_target":
		t.shown.target, err = s.readField(key, v)
	case "doc_to_choice":
		t.shown.choice, err = s.readField(key, v)
		t.shown.hasChoice = true
	case "gen_prefix":
		t.shown.prefix, err = s.readField(key, v)
		t.shown.prefix.literal = true
	case "fewshot_indices":
		if err := v.Decode(&t.indices); err != nil || len(t.indices) == 0 {
			return s.fail(key, v.Line, "want a list of row numbers from 0")
		}
	case "process_docs":
		t.processShots, err = s.function(key, v)
	default:
		return s.fail(key, v.Line, "not supported: want sampler, split, samples, fewshot_indices, doc_to_text, "+
			"doc_to_choice, doc_to_target, gen_prefix, target_delimiter or fewshot_delimiter")
	}
	return err
}

// ownExcluded: a row is kept from its own examples where the split of these is named, and is
// the test split, or where neither is named. That is the harness's rule.
func (t *Task) ownExcluded() bool {
	f := &t.source.file
	return split(&f.FewshotSplit) == split(&f.TestSplit)
}

// pool reads the rows that examples are drawn from.
func (t *Task) pool(measured []*row) ([]*row, error) {
	rows := measured
	switch {
	case t.samples != nil:
		rows = nil
		known := map[string]bool{}
		for i, fields := range t.samples {
			for k := range fields.All() {
				known[k] = true
			}
			rows = append(rows, &row{Row: data.Row{Line: i + 1, Fields: fields}, task: t,
				file: "fewshot_config.samples", known: known})
		}
	case t.shots != t.Data:
		var err error
		if rows, err = t.table(t.shots, t.processShots); err != nil {
			return nil, err
		}
	case t.processShots != t.process:
		var err error
		if rows, err = t.table(t.Data, t.processShots); err != nil {
			return nil, err
		}
	}
	if t.indices == nil {
		return rows, nil
	}
	chosen := make([]*row, len(t.indices))
	for k, i := range t.indices {
		if i < 0 || i >= len(rows) {
			return nil, &conf.Error{File: t.Path, Key: "fewshot_config.fewshot_indices",
				Msg: fmt.Sprintf("want rows from 0 to %d, got %d", len(rows)-1, i)}
		}
		chosen[k] = rows[i]
	}
	return chosen, nil
}

// draw gives, for one measured row after the other, the places of its examples in the pool: the
// samplers of the harness (api/samplers.py), which draw for a row after all rows before it.
func (t *Task) draw(pool []*row) func(r *row) ([]int, error) {
	random := pyrandom.FromInt(fewshotSeed)
	exclude := t.ownExcluded()
	n := t.NumFewshot
	return func(r *row) ([]int, error) {
		others := func(from []int) []int {
			if !exclude {
				return from
			}
			var out []int
			for _, i := range from {
				if !same(pool[i].Fields, r.Fields) {
					out = append(out, i)
				}
			}
			return out
		}
		all := func() []int {
			out := make([]int, len(pool))
			for i := range out {
				out[i] = i
			}
			return out
		}
		ask := n
		if exclude {
			ask++ // the row itself may be among them
		}
		short := func(have int) error {
			return &conf.Error{File: t.Path, Key: "num_fewshot", Msg: fmt.Sprintf("want at most the %d examples that "+
				"%s has beside the row itself, got %d", have, firstOf(t.shots, "fewshot_config.samples"), n)}
		}
		if t.sampler == samplerFirstN {
			rest := others(all())
			if len(rest) < n {
				return nil, short(len(rest))
			}
			return rest[:n], nil
		}
		if len(pool) < ask {
			return nil, short(max(0, len(pool)-ask+n))
		}
		drawn := others(random.Sample(len(pool), ask))
		if len(drawn) >= n {
			return drawn[:n], nil
		}
		rest := others(all()) // the row is in the pool more than once
		if len(rest) < n {
			return nil, short(len(rest))
		}
		out := make([]int, n)
		for k, i := range random.Sample(len(rest), n) {
			out[k] = rest[i]
		}
		return out, nil
	}
}

// examples gives the few-shot examples in front of a row. Rows have to come in their order.
func (t *Task) examples(measured []*row, a Asking) (func(*row) ([]message, error), error) {
	if t.NumFewshot == 0 {
		return func(*row) ([]message, error) { return nil, nil }, nil
	}
	pool, err := t.pool(measured)
	if err != nil {
		return nil, err
	}
	draw := t.draw(pool)
	rendered := map[int][]message{}
	return func(r *row) ([]message, error) {
		places, err := draw(r)
		if err != nil {
			return nil, err
		}
		var out []message
		for _, i := range places {
			if _, ok := rendered[i]; !ok {
				if rendered[i], err = t.example(pool[i], a); err != nil {
					return nil, err
				}
			}
			out = append(out, rendered[i]...)
		}
		return out, nil
	}, nil
}
