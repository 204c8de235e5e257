package task

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/pyre"
	"steer/internal/pystr"
)

// Metric is one entry of metric_list, with the options of exact_match.
type Metric struct {
	Name                                        string
	IgnoreCase, IgnorePunctuation, IgnoreDigits bool
	// Aggregate makes one number of the values of all items, where process_results gives them.
	Aggregate Aggregation
	ignore    []*pyre.Pattern
}

// known lists the metrics of an output; the first ones are taken without a metric_list.
var known = map[Output][]string{
	MultipleChoice: {"acc", "acc_norm", "acc_bytes", "exact_match", "mcc", "f1", "macro_f1", "balanced_acc", "kappa"},
	LogLikelihood:  {"perplexity", "acc"},
	Rolling:        {"word_perplexity", "byte_perplexity", "bits_per_byte"},
	GenerateUntil:  {"exact_match"},
}

var byDefault = map[Output][]string{
	MultipleChoice: {"acc", "acc_norm"}, LogLikelihood: {"perplexity", "acc"},
	Rolling: {"word_perplexity", "byte_perplexity", "bits_per_byte"}, GenerateUntil: {"exact_match"},
}

// Wants says that metric_list names a metric.
func (t *Task) Wants(metric string) bool {
	return slices.ContainsFunc(t.Metrics, func(m Metric) bool { return m.Name == metric })
}

// MetricName is the name in results of a metric behind a filter, as groups name it; false without
// that filter.
func (t *Task) MetricName(metric, filter string) (name string, found bool) {
	for i, f := range t.Filters {
		if f.Name == filter {
			if i > 0 {
				metric += "_" + filter
			}
			return metric, true
		}
	}
	return "", false
}

// others are metrics of the harness that are not computed here.
var others = []string{"acc_mutual_info", "bleu", "brier_score", "bypass", "chrf", "f1", "likelihood", "perplexity",
	"rouge1", "rouge2", "rougeL", "ter", "word_perplexity", "byte_perplexity", "bits_per_byte"}

func (t *Task) readMetrics(s *source, f *file) error {
	if !given(&f.MetricList) && t.Results == nil {
		for _, name := range byDefault[t.Output] {
			t.Metrics = append(t.Metrics, Metric{Name: name})
		}
		return nil
	}
	if f.MetricList.Kind != yaml.SequenceNode {
		return s.fail("metric_list", f.MetricList.Line, `want a list of "- metric: NAME"`)
	}
	if t.Results != nil {
		return t.readResultMetrics(s, f)
	}
	for i, n := range f.MetricList.Content {
		key := fmt.Sprintf("metric_list[%d]", i)
		m, left := Metric{}, ""
		if n.Kind == yaml.ScalarNode { // "- acc", our short form
			m.Name = n.Value
		} else {
			var err error
			if left, err = s.readMetric(key, n, &m); err != nil {
				return err
			}
		}
		switch {
		case left == "" && slices.Contains(known[t.Output], m.Name):
			if !t.Wants(m.Name) {
				t.Metrics = append(t.Metrics, m)
			}
		case left != "" || slices.Contains(others, m.Name):
			t.Notes = append(t.Notes, strings.TrimSpace("metric "+m.Name+" is not computed "+left))
		default:
			return s.fail(key+".metric", n.Line, "want one of %s for output_type %s, got %q",
				strings.Join(known[t.Output], ", "), t.Output, m.Name)
		}
	}
	if len(t.Metrics) == 0 {
		return s.fail("metric_list", f.MetricList.Line, "none of its metrics is computed here (%s): want one of %s",
			strings.Join(t.Notes, "; "), strings.Join(known[t.Output], ", "))
	}
	return nil
}

// readMetric reads one entry; left says why a metric has to be left out.
func (s *source) readMetric(key string, n *yaml.Node, m *Metric) (left string, err error) {
	if n.Kind != yaml.MappingNode {
		return "", s.fail(key, n.Line, `want "metric: NAME"`)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i].Value, n.Content[i+1]
		yes := strings.EqualFold(v.Value, "true")
		if v.Tag == "!function" {
			left = fmt.Sprintf("(%s: !function %s is Python)", name, v.Value)
		}
		switch name {
		case "metric":
			m.Name = v.Value
		case "ignore_case":
			m.IgnoreCase = yes
		case "ignore_punctuation":
			m.IgnorePunctuation = yes
		case "ignore_numbers":
			m.IgnoreDigits = yes
		case "aggregation", "higher_is_better", "hf_evaluate", "weight_by_size": // each metric has its own
		case "high_is_better": // misspelt in the harness's files; it changes nothing there either
		case "average":
			left = fmt.Sprintf("(average: %s)", v.Value)
		case "regexes_to_ignore":
			list, ok := texts(v)
			if !ok {
				return "", s.fail(key+"."+name, v.Line, "want a list of regular expressions")
			}
			for _, text := range list {
				re, err := pyre.Compile(text, pyre.Flags{})
				if err != nil {
					return "", s.fail(key+"."+name, v.Line, "%v", err)
				}
				m.ignore = append(m.ignore, re)
			}
		default:
			return "", s.fail(key+"."+name, v.Line, "unknown: want metric, ignore_case, ignore_punctuation, "+
				"ignore_numbers or regexes_to_ignore")
		}
	}
	return left, nil
}

const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// Matches compares an answer with the target as the harness's exact_match does.
func (m Metric) Matches(answer, target string) (bool, error) {
	var failed error
	clean := func(s string) string {
		for _, re := range m.ignore {
			var err error
			if s, err = re.Sub(s, 0, func(*pyre.Match) (string, error) { return "", nil }); err != nil {
				failed = err
			}
		}
		if m.IgnoreCase {
			s = strings.ToLower(s)
		}
		drop := ""
		if m.IgnorePunctuation {
			drop += punctuation
		}
		if m.IgnoreDigits {
			drop += "0123456789"
		}
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(drop, r) {
				return -1
			}
			return r
		}, s)
	}
	return clean(answer) == clean(target), failed
}

// Filter is a named pipeline from what was generated to what is compared.
type Filter struct {
	Name  string
	steps []step
	// first: one of several answers is taken, or there is no list of them.
	first bool
}

// step is one function of a filter.
type step func(answer string) (string, error)

// plainly is a step that cannot fail.
func plainly(f func(string) string) step { return func(s string) (string, error) { return f(s), nil } }

// Apply runs the pipeline. An error is of a regular expression that takes too long.
func (f Filter) Apply(answer string) (string, error) {
	var err error
	for _, step := range f.steps {
		if answer, err = step(answer); err != nil {
			return "", fmt.Errorf("filter %s: %w", f.Name, err)
		}
	}
	return answer, nil
}

func (t *Task) readFilters(s *source, f *file) error {
	if !given(&f.FilterList) {
		t.Filters = []Filter{{Name: "none", first: true}}
		return nil
	}
	if t.Output != GenerateUntil {
		return s.fail("filter_list", f.FilterList.Line, "filters belong to output_type %s, this is %s",
			GenerateUntil, t.Output)
	}
	for i, n := range f.FilterList.Content {
		key := fmt.Sprintf("filter_list[%d]", i)
		name, steps := mappingValue(n, "name"), mappingValue(n, "filter")
		if f.FilterList.Kind != yaml.SequenceNode || name == nil || steps == nil || steps.Kind != yaml.SequenceNode {
			return s.fail(key, n.Line, `want "name: NAME" and "filter:" with a list of "- function: NAME"`)
		}
		filter := Filter{Name: name.Value}
		for k, step := range steps.Content {
			apply, err := s.readStep(fmt.Sprintf("%s.filter[%d]", key, k), step)
			if err != nil {
				return err
			}
			filter.steps = append(filter.steps, apply)
			filter.first = filter.first || mappingValue(step, "function").Value == "take_first"
		}
		if t.Results != nil && !filter.first {
			return s.fail(key, n.Line, "process_results would be given a list of answers: want take_first among the "+
				"functions of filter %s", filter.Name)
		}
		t.Filters = append(t.Filters, filter)
	}
	return nil
}

// readStep reads one function of a filter.
func (s *source) readStep(key string, n *yaml.Node) (step, error) {
	name := mappingValue(n, "function")
	if name == nil {
		return nil, s.fail(key, n.Line, `want "function: NAME"`)
	}
	switch name.Value {
	case "take_first", "majority_vote": // there is one answer an item
		return plainly(func(s string) string { return s }), nil
	case "take_first_k":
		if k := mappingValue(n, "k"); k == nil || k.Value != "1" {
			return nil, s.fail(key+".k", name.Line, "want 1: one greedy answer an item is measured")
		}
		return plainly(func(s string) string { return s }), nil
	case "remove_whitespace":
		return plainly(func(s string) string { return strings.TrimFunc(s, pystr.IsSpace) }), nil
	case "lowercase":
		return plainly(strings.ToLower), nil
	case "uppercase":
		return plainly(strings.ToUpper), nil
	case "map":
		return s.readMap(key, n)
	case "regex":
		return s.readRegex(key, n)
	}
	return nil, s.fail(key+".function", name.Line, "want take_first, take_first_k, majority_vote, remove_whitespace, "+
		"lowercase, uppercase, map or regex, got %q", name.Value)
}

// readMap reads the filter map: what an answer is replaced by, and by what where nothing is said.
func (s *source) readMap(key string, n *yaml.Node) (step, error) {
	with, otherwise := map[string]string{}, ""
	m := mappingValue(n, "mapping_dict")
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, s.fail(key+".mapping_dict", n.Line, "want a mapping of answers to what they are replaced by")
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i+1].Kind != yaml.ScalarNode {
			return nil, s.fail(key+".mapping_dict", m.Line, "want texts under the keys")
		}
		with[m.Content[i].Value] = m.Content[i+1].Value
	}
	if d := mappingValue(n, "default_value"); d != nil && d.Tag != "!!null" {
		otherwise = d.Value
	}
	return plainly(func(answer string) string {
		if to, ok := with[answer]; ok {
			return to
		}
		return otherwise
	}), nil
}

// readRegex reads the filter regex.
func (s *source) readRegex(key string, n *yaml.Node) (step, error) {
	pattern, group, fallback := `#### (\-?[0-9\.\,]+)`, 0, "[invalid]"
	if p := mappingValue(n, "regex_pattern"); p != nil {
		pattern = p.Value
	}
	if p := mappingValue(n, "fallback"); p != nil {
		fallback = p.Value
	}
	if g := mappingValue(n, "group_select"); g != nil {
		var err error
		if group, err = strconv.Atoi(g.Value); err != nil {
			return nil, s.fail(key+".group_select", g.Line, "want a whole number, got %q", g.Value)
		}
	}
	re, err := pyre.Compile(pattern, pyre.Flags{})
	if err != nil {
		return nil, s.fail(key+".regex_pattern", n.Line, "%v", err)
	}
	return func(answer string) (string, error) { return extract(re, group, fallback, answer) }, nil
}

// extract is the harness's filter regex: match number group of all matches (from the end
// if negative), its first group that is not empty.
func extract(re *pyre.Pattern, group int, fallback, answer string) (string, error) {
	all, err := re.FindAll(answer)
	if err != nil {
		return "", err
	}
	if group < 0 {
		group += len(all)
	}
	if group < 0 || group >= len(all) {
		return fallback, nil
	}
	match := all[group]
	for _, part := range match {
		if part != "" || len(match) == 1 {
			return strings.TrimFunc(part, pystr.IsSpace), nil
		}
	}
	return fallback, nil
}

func (t *Task) readGeneration(s *source, f *file) error {
	t.Generation = Generation{Until: []string{f.FewshotDelimiter}, MaxTokens: 256} // the harness's defaults
	n := &f.GenerationKwargs
	if !given(n) {
		return nil
	}
	if t.Output != GenerateUntil {
		t.Ignored = append(t.Ignored, "generation_kwargs")
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i].Value, n.Content[i+1]
		bad := func(want string) error {
			return s.fail("generation_kwargs."+name, v.Line, "want %s, got %q", want, v.Value)
		}
		switch name {
		case "until":
			list, ok := texts(v)
			if !ok || slices.Contains(list, "") {
				return bad("a text or a list of texts, none empty")
			}
			t.Generation.Until = list
		case "max_gen_toks", "max_new_tokens", "max_tokens":
			k, err := strconv.Atoi(v.Value)
			if err != nil || k < 1 {
				return bad("a whole number of tokens, at least 1")
			}
			t.Generation.MaxTokens = k
		case "do_sample":
			if !strings.EqualFold(v.Value, "false") {
				return bad("false: answers are generated greedily")
			}
		case "temperature":
			if x, err := strconv.ParseFloat(v.Value, 64); err != nil || x != 0 {
				return bad("0: answers are generated greedily")
			}
		case "top_p", "top_k": // greedy: the likeliest token whatever is cut
		case "num_beams":
			if v.Value != "1" {
				return bad("1: answers are generated greedily")
			}
		default:
			return bad("until, max_gen_toks, do_sample or temperature as the key")
		}
	}
	return nil
}
