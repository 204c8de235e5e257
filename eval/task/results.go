package task

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/ordered"
	"steer/internal/pyfunc"
)

// Aggregation makes one number of the values that items have of a metric.
type Aggregation struct {
	Name     string // one of aggregations, or the name of a function
	function *pyfunc.Function
}

// aggregations of the harness (api/metrics.py) that are known here, with what a value is: a number,
// or a sum and what it is divided by.
var aggregations = map[string]struct {
	pairs bool
	of    func(mean float64) float64
}{
	"mean":                {false, func(x float64) float64 { return x }},
	"nanmean":             {false, func(x float64) float64 { return x }},
	"perplexity":          {false, func(x float64) float64 { return math.Exp(-x) }},
	"weighted_perplexity": {true, func(x float64) float64 { return math.Exp(-x) }},
	"bits_per_byte":       {true, func(x float64) float64 { return -x / math.Ln2 }},
}

// ownAggregation is how the harness aggregates a metric where nothing is said.
var ownAggregation = map[string]string{
	"word_perplexity": "weighted_perplexity", "byte_perplexity": "weighted_perplexity",
	"bits_per_byte": "bits_per_byte", "perplexity": "perplexity", "f1": "f1", "mcc": "matthews_corrcoef",
	"bleu": "bleu", "chrf": "chrf", "ter": "ter", "brier_score": "brier_score", "likelihood": "likelihood",
}

// IsMean tells whether the number is the mean of one number an item.
func (a Aggregation) IsMean() bool { return a.function == nil && (a.Name == "mean" || a.Name == "") }

// Of aggregates the values of all items.
func (a Aggregation) Of(values []any) (float64, error) {
	if a.function != nil {
		v, err := a.function.Call(values)
		if err != nil {
			return 0, err
		}
		return Number(v)
	}
	how := aggregations[firstOf(a.Name, "mean")]
	sum, weight := 0.0, 0.0
	for _, v := range values {
		x, w, err := v, any(1), error(nil)
		if how.pairs {
			pair, ok := v.([]any)
			if !ok || len(pair) != 2 {
				return 0, fmt.Errorf("aggregation %s: want pairs of numbers, got %v", a.Name, v)
			}
			x, w = pair[0], pair[1]
		}
		number, err := Number(x)
		if err != nil {
			return 0, err
		}
		size, err := Number(w)
		if err != nil {
			return 0, err
		}
		if a.Name == "nanmean" && math.IsNaN(number) {
			continue
		}
		sum += number
		weight += size
	}
	return how.of(sum / weight), nil
}

// Number is a value of an item as a number.
func Number(v any) (float64, error) {
	switch x := v.(type) {
	case bool:
		if x {
			return 1, nil
		}
		return 0, nil
	case int:
		return float64(x), nil
	case float64:
		return x, nil
	}
	return 0, fmt.Errorf("want a number, got %v", v)
}

// ResultsOf calls process_results on a row and what the model answered to it: a pair of
// log-likelihood and whether the choice is the likeliest, for each choice; a text; or a
// log-likelihood.
func (t *Task) ResultsOf(it Item, answers []any) (*ordered.Map, error) {
	v, err := t.Results.Call(it.Document, answers)
	if err != nil {
		return nil, err
	}
	out, ok := v.(*ordered.Map)
	if !ok {
		return nil, fmt.Errorf("process_results gives %v: want a dict of metrics", v)
	}
	return out, nil
}

// readFunctions reads the functions that rows go through before anything else, and at the end.
func (t *Task) readFunctions(s *source, f *file) error {
	for _, k := range []struct {
		key  string
		n    *yaml.Node
		into **pyfunc.Function
	}{{"process_docs", &f.ProcessDocs, &t.process}, {"process_results", &f.ProcessResults, &t.Results}} {
		if !given(k.n) {
			continue
		}
		if k.n.Tag != functionTag {
			return s.fail(k.key, k.n.Line, "want !function FILE.NAME, got %q", k.n.Value)
		}
		var err error
		if *k.into, err = s.function(k.key, k.n); err != nil {
			return err
		}
	}
	t.processShots = t.process
	return nil
}

// readResultMetrics reads metric_list where process_results computes the metrics: their names, and
// how the values of all items become one number.
func (t *Task) readResultMetrics(s *source, f *file) error {
	for i, n := range f.MetricList.Content {
		key := fmt.Sprintf("metric_list[%d]", i)
		name := mappingValue(n, "metric")
		if name == nil {
			return s.fail(key, n.Line, `want "metric: NAME"`)
		}
		m := Metric{Name: name.Value[strings.LastIndex(name.Value, ".")+1:]}
		a := mappingValue(n, "aggregation")
		if own := ownAggregation[m.Name]; a == nil && own != "" {
			a = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: own, Line: n.Line}
		}
		var err error
		switch {
		case a == nil:
		case a.Tag == functionTag:
			m.Aggregate.Name = a.Value
			m.Aggregate.function, err = s.function("metric_list", a)
		default:
			m.Aggregate.Name = a.Value
			if _, known := aggregations[a.Value]; !known {
				err = fmt.Errorf("aggregation: %s", a.Value)
			}
		}
		if err != nil {
			t.Notes = append(t.Notes, fmt.Sprintf("metric %s is not computed (%v)", m.Name, err))
			t.left = append(t.left, m.Name)
			continue
		}
		if !t.Wants(m.Name) {
			t.Metrics = append(t.Metrics, m)
		}
	}
	if len(t.left) > 0 && len(t.Metrics) == 0 {
		return s.fail("metric_list", f.MetricList.Line, "none of its metrics is computed here: %s",
			strings.Join(t.Notes, "; "))
	}
	return nil
}

// MetricOf is how a metric that process_results gives is aggregated; false for one that was left
// out. One that metric_list does not name is a mean, as in the harness.
func (t *Task) MetricOf(name string) (Metric, bool) {
	if slices.Contains(t.left, name) {
		return Metric{}, false
	}
	for _, m := range t.Metrics {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{Name: name}, true
}
