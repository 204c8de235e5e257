package function

import (
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// ExactMatch scores an answer 1 where it is the text of a column of the row, else 0.
type ExactMatch struct {
	Field string `yaml:"field,omitempty"` // "answer" where it is not given
	// IgnoreCase, IgnorePunctuation and IgnoreArticles compare without them; blanks never count.
	IgnoreCase        bool `yaml:"ignore_case,omitempty"`
	IgnorePunctuation bool `yaml:"ignore_punctuation,omitempty"`
	IgnoreArticles    bool `yaml:"ignore_articles,omitempty"` // a, an, the
}

// Open makes the reward of a name.
func (m *ExactMatch) Open(name string) (Function, error) {
	field := fieldOr(m.Field)
	return &rule{name: name,
		check: func(s *Sample) error { _, err := textOf(name, s, field); return err },
		score: func(s *Sample) (float64, error) {
			want, err := textOf(name, s, field)
			if err != nil {
				return 0, err
			}
			return oneIf(m.normal(s.Answer) == m.normal(want)), nil
		}}, nil
}

// normal is a text as it is compared.
func (m *ExactMatch) normal(text string) string {
	if m.IgnoreCase {
		text = strings.ToLower(text)
	}
	if m.IgnorePunctuation {
		text = strings.Map(func(r rune) rune {
			if unicode.IsPunct(r) {
				return -1
			}
			return r
		}, text)
	}
	words := strings.Fields(text)
	if m.IgnoreArticles {
		words = slices.DeleteFunc(words, func(w string) bool {
			return slices.Contains([]string{"a", "an", "the"}, strings.ToLower(w))
		})
	}
	return strings.Join(words, " ")
}

// NumberMatch scores an answer 1 where its number is that of a column of the row, else 0.
type NumberMatch struct {
	Field string `yaml:"field,omitempty"` // "answer" where it is not given
	// Pattern finds the number of an answer, in its first group or as a whole; without one the last number counts. Of a
	// column "... #### 42", as GSM8K writes it, what follows the mark counts.
	Pattern string `yaml:"pattern,omitempty"`
	// Tolerance is the greatest difference that counts as none.
	Tolerance float64 `yaml:"tolerance,omitempty"`
}

// numbers are written with thousands, decimals, exponents or as fractions.
var numbers = regexp.MustCompile(`[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|\d)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+)?`)

// gsm8k marks the answer of a worked solution.
const gsm8k = "####"

// Open makes the reward of a name.
func (m *NumberMatch) Open(name string) (Function, error) {
	field := fieldOr(m.Field)
	var pattern *regexp.Regexp
	if m.Pattern != "" {
		var err error
		if pattern, err = regexp.Compile(m.Pattern); err != nil {
			return nil, fmt.Errorf("number_match.pattern: %w (the syntax is Go's, RE2)", err)
		}
	}
	if m.Tolerance < 0 {
		return nil, fmt.Errorf("number_match.tolerance: want at least 0, got %g", m.Tolerance)
	}
	tolerance := new(big.Rat)
	tolerance.SetFloat64(m.Tolerance)
	gold := func(s *Sample) (*big.Rat, error) {
		text, err := textOf(name, s, field)
		if err != nil {
			return nil, err
		}
		if _, after, ok := strings.Cut(text, gsm8k); ok {
			text = after
		}
		x, ok := lastNumber(text)
		if !ok {
			return nil, &Error{Reward: name, Sample: s, What: fmt.Sprintf("its column %s holds no number: %q", field,
				text),
				Want: "a number such as 42, -1,234.5 or 3/4", Mend: "name the column with number_match.field"}
		}
		return x, nil
	}
	return &rule{name: name,
		check: func(s *Sample) error { _, err := gold(s); return err },
		score: func(s *Sample) (float64, error) {
			want, err := gold(s)
			if err != nil {
				return 0, err
			}
			got, ok := m.numberOf(s.Answer, pattern)
			if !ok {
				return 0, nil
			}
			return oneIf(got.Sub(got, want).Abs(got).Cmp(tolerance) <= 0), nil
		}}, nil
}

// numberOf is the number that an answer gives.
func (m *NumberMatch) numberOf(answer string, pattern *regexp.Regexp) (*big.Rat, bool) {
	if pattern == nil {
		return lastNumber(answer)
	}
	found := pattern.FindStringSubmatch(answer)
	if found == nil {
		return nil, false
	}
	return lastNumber(found[len(found)-1])
}

// lastNumber reads the last number of a text.
func lastNumber(text string) (*big.Rat, bool) {
	all := numbers.FindAllString(text, -1)
	for _, s := range slices.Backward(all) {
		s = strings.NewReplacer(",", "", "−", "-", " ", "", "\t", "").Replace(s)
		if whole, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok &&
			len(strings.TrimLeft(exponent, "+-")) > 3 {
			s = whole // no number that anybody means
		}
		if x, ok := new(big.Rat).SetString(s); ok {
			return x, true
		}
	}
	return nil, false
}

func fieldOr(name string) string {
	if name == "" {
		return "answer"
	}
	return name
}

// textOf is a column of a sample's row, as text.
func textOf(reward string, s *Sample, field string) (string, error) {
	value, ok := s.Fields[field]
	if !ok || value == nil {
		have := slices.Sorted(maps.Keys(s.Fields))
		return "", &Error{Reward: reward, Sample: s, What: fmt.Sprintf("its row has no column %q", field),
			Want: fmt.Sprintf("one of its other columns, which are %q", have), Mend: "name the column with field"}
	}
	return fmt.Sprint(plain(value)), nil
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
