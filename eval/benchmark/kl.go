package benchmark

import (
	"context"
	"fmt"
	"math"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/internal/stats"
	"steer/rl/data"
	"steer/rl/run"
)

// The name and the version of the prompt identify the benchmark in results.
const (
	nameKL       = "kl"
	protocolText = "text" // measured on given text
	klVersion    = "kl-text-1"
)

// KLConfig configures the divergence from the reference on given conversations.
type KLConfig struct {
	File `yaml:",inline"`
	// Format, Columns and DropUnsupported say how the file is read, see [data.Source].
	Format          data.Format  `yaml:"format,omitempty"`
	Columns         data.Columns `yaml:"columns,omitempty"`
	DropUnsupported bool         `yaml:"drop_unsupported,omitempty"`
	// Reference is the model that the others are compared with.
	Reference string `yaml:"reference"`
	// MaxTokens: longer conversations are left out, and counted.
	MaxTokens int `yaml:"max_tokens"`
}

func klSpecs(set eval.Settings, tpl *data.Template, x *KLConfig) []Spec {
	var notes []string
	rows := datasetOf(&x.File, func(path string) ([]data.Conversation, error) {
		rows, loaded, err := data.LoadConversations(data.Source{Path: path, Format: x.Format, Columns: x.Columns,
			DropUnsupported: x.DropUnsupported})
		notes = oddities("kl", loaded)
		return rows, err
	})
	b := languageSpec(nameKL, protocolText, "kl", set, rows, func(
		ctx context.Context, s eval.Subject, set eval.Settings, rows []data.Conversation, _ int,
	) (*run.Measurement, []run.Item, error) {
		return textKL(ctx, s, set, *x, tpl, rows)
	})
	b.Rendered = true
	b.Notes = func() []string { return notes }
	b.skips = func(model string) bool { return model == x.Reference }
	b.check = func() error {
		if x.Path != "" && (x.Reference == "" || x.MaxTokens < 2) {
			return fmt.Errorf("eval: kl: want a reference and max_tokens of at least 2, got %q and %d",
				x.Reference, x.MaxTokens)
		}
		return nil
	}
	return []Spec{b}
}

// textKL measures how far a model has moved from the reference: the exact
// KL(model || reference) of the next token, summed over the vocabulary, at every answer
// token of held-out conversations. All models are read on the same text, so there is no
// noise of sampling; the divergence on a model's own answers is cross_reward's.
func textKL(
	ctx context.Context, s eval.Subject, set eval.Settings, opt KLConfig, tpl *data.Template, rows []data.Conversation,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: kl: model %q: %w", s.Name, err)
	}
	if err := set.Validate(); err != nil {
		return nil, nil, err
	}
	if s.KL == nil || s.Tokenizer == nil || tpl == nil {
		return fail(fmt.Errorf("want the divergence from %q, a tokenizer and the template of the conversations: "+
			"is %q one of the models?", opt.Reference, opt.Reference))
	}
	var seqs []lm.Sequence
	var records []run.Item
	dropped, longest := 0, min(opt.MaxTokens, set.MaxLength+1)
	for i, c := range rows {
		segments, err := tpl.Render(c.Messages)
		if data.Refused(err) {
			dropped++
			continue
		}
		if err != nil {
			return fail(fmt.Errorf("line %d: %w", c.Line, err))
		}
		x, err := data.Tokenize(s.Tokenizer, segments, data.TokenizeOptions{NoBOS: set.BOS == eval.BOSOff})
		if err != nil {
			return fail(fmt.Errorf("line %d: %w", c.Line, err))
		}
		targets := x.Targets()
		if len(targets) == 0 || len(x.IDs) > longest {
			dropped++
			continue
		}
		seqs = append(seqs, lm.Sequence{Tokens: x.IDs, Targets: targets})
		records = append(records, run.Item{ID: fmt.Sprintf("line-%d", c.Line), Row: opt.First + i,
			Gold: run.NoPrediction, Pred: run.NoPrediction, Tokens: len(targets)})
	}
	if len(seqs) == 0 {
		return fail(fmt.Errorf("none of %d conversations has an answer and at most %d tokens: %w",
			len(rows), longest, eval.ErrNoItems))
	}
	if err := sumKL(ctx, s, set, seqs, records); err != nil {
		return fail(err)
	}
	b := metrics.New(nameKL, protocolText, s.Name, klVersion, len(records), set)
	b.Provenance.Set("reference", opt.Reference)
	b.Provenance.Set("max_tokens", opt.MaxTokens)
	b.Provenance.Set("template", string(tpl.Name()))
	if sum := tpl.SHA256(); sum != "" {
		b.Provenance.Set("template_sha256", sum)
	}
	b.Provenance.Set("bos", set.BOS)
	b.FlagCount("dropped", dropped)
	if err := addKL(b, records); err != nil {
		return fail(err)
	}
	return b.Measurement, records, nil
}

// sumKL fills in the divergence of every conversation.
func sumKL(ctx context.Context, s eval.Subject, set eval.Settings, seqs []lm.Sequence, records []run.Item) error {
	at := eval.Progress{Benchmark: nameKL, Protocol: protocolText, Model: s.Name, Total: len(seqs)}
	for _, batch := range query.Batches(seqs, set.BatchTokens) {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := make([]lm.Sequence, len(batch))
		for k, i := range batch {
			part[k] = seqs[i]
			at.Tokens += int64(len(seqs[i].Tokens))
		}
		got, err := s.KL(ctx, part, lm.Options{})
		if err != nil {
			return err
		}
		if len(got) != len(part) {
			return fmt.Errorf("%d rows of KL for %d sequences", len(got), len(part))
		}
		for k, i := range batch {
			if len(got[k]) != len(part[k].Targets) {
				return fmt.Errorf("%d KL values for %d targets", len(got[k]), len(part[k].Targets))
			}
			sum := 0.0
			for _, v := range got[k] {
				sum += float64(v)
			}
			if math.IsNaN(sum) || math.IsInf(sum, 0) {
				return fmt.Errorf("%s: KL %g: %w", records[i].ID, sum, eval.ErrNotFinite)
			}
			records[i].KL = &sum
		}
		at.Done += len(batch)
		set.Report(at)
	}
	return nil
}

// addKL stores the divergence a token and an answer, with bootstrap intervals over
// conversations.
func addKL(b *metrics.Summary, records []run.Item) error {
	sums := make([]float64, len(records))
	tokens := 0
	for i, r := range records {
		sums[i] = *r.KL
		tokens += r.Tokens
	}
	b.Set("tokens", float64(tokens))
	perToken := func(items []int32) (float64, bool) {
		sum, n := 0.0, 0
		for _, i := range items {
			sum += sums[i]
			n += records[i].Tokens
		}
		return sum / float64(n), false
	}
	all := make([]int32, len(records))
	for i := range all {
		all[i] = int32(i)
	}
	v, _ := perToken(all)
	b.Set("kl_per_token", v)
	if len(records) < 2 {
		b.Set("kl", sums[0])
		return nil
	}
	src, err := b.Resamples(len(records))
	if err != nil {
		return err
	}
	boot, err := stats.BootstrapFunc(src, b.Settings.Resamples,
		func() func([]int32) (float64, bool) { return perToken })
	if err != nil {
		return err
	}
	ends, _ := boot.BCa(b.Settings.Confidence)
	b.SetInterval("kl_per_token", ends.Lo, ends.Hi)
	return b.AddMean("kl", sums)
}
