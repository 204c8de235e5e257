package benchmark

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

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
	NamePerplexity    = "perplexity"
	perplexityVersion = "perplexity-1"
)

// PerplexityConfig configures the perplexity of a text. Limit of File is in tokens; First
// has to be 0.
type PerplexityConfig struct {
	File `yaml:",inline"`
	// Context is the number of tokens that the model sees at once, the last of them a
	// target only; 0 is the most there is, max_length + 1.
	Context int `yaml:"context"`
	// Stride is by how many tokens the window moves on, below Context; 0 is half of it.
	// Every token after the first window is predicted from at least Context-Stride
	// tokens: a smaller stride gives a lower perplexity and costs more.
	Stride int `yaml:"stride"`
}

func perplexitySpecs(set eval.Settings, x *PerplexityConfig) []Spec {
	text := datasetOf(&x.File, func(path string) ([]string, error) {
		t, err := data.ReadText(path)
		return []string{t}, err
	})
	return []Spec{{
		Name: NamePerplexity, Protocol: eval.ProtocolLogLik, Inputs: []Input{{Key: "perplexity", File: &x.File}},
		Load: loadAll(func() error { return x.fits(set.MaxLength) }, text.load),
		check: func() error {
			switch {
			case x.First != 0:
				return fmt.Errorf("eval: perplexity.first: a text is measured from its beginning, got first %d",
					x.First)
			case x.Context < 0 || x.Stride < 0 || x.Context == 1:
				return fmt.Errorf("eval: perplexity: want context of 2 tokens or more and stride of 1 or more (0: "+
					"the default), got %d and %d", x.Context, x.Stride)
			case x.Context > 0 && x.Stride >= x.Context:
				return fmt.Errorf("eval: perplexity.stride: want less than the context of %d tokens, got %d: the "+
					"first token of a window needs something to be predicted from", x.Context, x.Stride)
			}
			return nil
		},
		Language: on(text, set, func(
			ctx context.Context, s eval.Subject, set eval.Settings, text []string, _ int,
		) (*run.Measurement, []run.Item, error) {
			return perplexity(ctx, s, set, *x, text[0])
		}),
	}}
}

func (w PerplexityConfig) fits(maxLength int) error {
	if w.Context > maxLength+1 {
		return fmt.Errorf("perplexity.context is %d, the model is given at most %d tokens: lower it, or 0 for as "+
			"many as there are", w.Context, maxLength+1)
	}
	return nil
}

// perplexity measures how well a model predicts a text, token by token, in overlapping
// windows (the strided evaluation of transformers' documentation): the first window
// scores all it holds, each later one the Stride tokens that are new. Every token is
// scored once. The first is predicted from BOS, or EOS where there is none, as
// lm-evaluation-harness's rolling log-likelihood does.
//
// Bits per byte are comparable between vocabularies, perplexity per token is not.
// Intervals are of a bootstrap over windows, which are the records.
func perplexity(
	ctx context.Context, s eval.Subject, set eval.Settings, w PerplexityConfig, text string,
) (*run.Measurement, []run.Item, error) {
	fail := func(err error) (*run.Measurement, []run.Item, error) {
		return nil, nil, fmt.Errorf("eval: perplexity: model %q: %w", s.Name, err)
	}
	if err := set.Validate(); err != nil {
		return nil, nil, err
	}
	if s.Evaluator == nil || s.Tokenizer == nil {
		return fail(errors.New("log-likelihoods need an evaluator and a tokenizer"))
	}
	enc, err := query.NewEncoder(s.Tokenizer, set.BOS)
	if err != nil {
		return fail(err)
	}
	ids, text, err := w.tokens(s.Tokenizer, enc, text)
	if err != nil {
		return fail(err)
	}
	if w, err = w.sized(set.MaxLength); err != nil {
		return fail(err)
	}
	if len(ids) < 2 {
		return fail(fmt.Errorf("a text of %d tokens has none to predict: %w", len(ids), eval.ErrNoItems))
	}
	reqs := textWindows(ids, w.Context, w.Stride)
	at := eval.Progress{Benchmark: NamePerplexity, Protocol: eval.ProtocolLogLik, Model: s.Name, Total: len(reqs)}
	liks, err := query.Likelihoods(ctx, s.Evaluator, reqs, w.Context, set.BatchTokens, func(done int, tokens int64) {
		at.Done, at.Tokens = done, tokens
		set.Report(at)
	})
	if err != nil {
		return fail(err)
	}
	records := make([]run.Item, len(reqs))
	row := 0
	for i, l := range liks {
		n := len(reqs[i].Continuation)
		records[i] = run.Item{ID: fmt.Sprintf("window-%d", i), Row: row, Gold: run.NoPrediction,
			Pred: run.NoPrediction, LogProbs: []float64{l.LogProb}, Tokens: n}
		row += n
	}
	b := metrics.New(NamePerplexity, eval.ProtocolLogLik, s.Name, perplexityVersion, len(records), set)
	if err := addEncoding(b, s); err != nil {
		return fail(err)
	}
	b.Provenance.Set("context", w.Context)
	b.Provenance.Set("stride", w.Stride)
	b.Provenance.Set("first_token_from", enc.Prefix)
	if enc.Prefix < 0 {
		b.Flag("first_token_unscored")
	}
	if err := addPerplexity(b, records, text); err != nil {
		return fail(err)
	}
	return b.Measurement, records, nil
}

// tokens are those of the text up to the limit, after the token that the first is predicted from, and
// the text that they stand for.
func (w PerplexityConfig) tokens(tok lm.Tokenizer, enc *query.Encoder, text string) ([]int32, string, error) {
	ids, err := tok.Encode(text, false, true)
	if err != nil {
		return nil, "", err
	}
	if w.Limit > 0 && len(ids) > w.Limit {
		ids = ids[:w.Limit]
		text = tok.Decode(ids, true)
	}
	if enc.Prefix >= 0 && (len(ids) == 0 || ids[0] != enc.Prefix) {
		ids = append([]int32{enc.Prefix}, ids...)
	}
	return ids, text, nil
}

// sized has context and stride filled in where the configuration leaves them open.
func (w PerplexityConfig) sized(maxLength int) (PerplexityConfig, error) {
	if w.Context == 0 {
		w.Context = maxLength + 1
	}
	if err := w.fits(maxLength); err != nil {
		return w, err
	}
	if w.Stride == 0 {
		w.Stride = max(1, w.Context/2)
	}
	if w.Stride >= w.Context {
		return w, fmt.Errorf("stride %d is not below the context of %d tokens that the model holds: lower "+
			"perplexity.stride", w.Stride, w.Context)
	}
	return w, nil
}

// textWindows lays a text out so that every token after the first is a target once.
func textWindows(ids []int32, context, stride int) []query.Request {
	var out []query.Request
	for done := 1; done < len(ids); {
		end := min(len(ids), context)
		if len(out) > 0 {
			end = min(len(ids), done+stride)
		}
		out = append(out, query.Request{Context: ids[max(0, end-context):done], Continuation: ids[done:end]})
		done = end
	}
	return out
}

// addPerplexity stores the loss of a text in the usual units. All are functions of the
// nats a token, once the tokens, bytes and words are counted.
func addPerplexity(b *metrics.Summary, records []run.Item, text string) error {
	tokens := 0
	for _, r := range records {
		tokens += r.Tokens
	}
	words := len(strings.Fields(text))
	perByte, perWord := float64(tokens)/float64(len(text)), float64(tokens)/float64(words)
	units := []struct {
		name string
		of   func(nats float64) float64
	}{
		{"nats_per_token", func(x float64) float64 { return x }},
		{"perplexity", math.Exp},
		{"bits_per_byte", func(x float64) float64 { return x * perByte / math.Ln2 }},
		{"byte_perplexity", func(x float64) float64 { return math.Exp(x * perByte) }},
		{"word_perplexity", func(x float64) float64 { return math.Exp(x * perWord) }},
	}
	loss := lossOf(records)
	all := make([]int32, len(records))
	for i := range all {
		all[i] = int32(i)
	}
	nats, _ := loss(all)
	for _, u := range units {
		b.Set(u.name, u.of(nats))
	}
	b.Set("tokens", float64(tokens))
	b.Set("bytes", float64(len(text)))
	b.Set("words", float64(words))
	if len(records) < 2 {
		return nil // one window has no spread
	}
	src, err := b.Resamples(len(records))
	if err != nil {
		return err
	}
	boot, err := stats.BootstrapFunc(src, b.Settings.Resamples, func() func([]int32) (float64, bool) { return loss })
	if err != nil {
		return err
	}
	v, _ := boot.BCa(b.Settings.Confidence)
	for _, u := range units {
		b.SetInterval(u.name, u.of(v.Lo), u.of(v.Hi))
	}
	return nil
}

// lossOf is the mean loss of a token over some windows, nats.
func lossOf(records []run.Item) func(items []int32) (float64, bool) {
	return func(items []int32) (float64, bool) {
		sum, n := 0.0, 0
		for _, i := range items {
			sum -= records[i].LogProbs[0]
			n += records[i].Tokens
		}
		return sum / float64(n), false
	}
}
