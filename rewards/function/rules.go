package function

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Regex scores an answer by whether a pattern is in it.
type Regex struct {
	// Pattern is of Go's syntax (RE2).
	Pattern string `yaml:"pattern"`
	// Full wants the whole answer to match, blanks around it left out.
	Full bool `yaml:"full,omitempty"`
	// Match and NoMatch are the scores; 1 and 0 where they are not given.
	Match   *float64 `yaml:"match,omitempty"`
	NoMatch *float64 `yaml:"no_match,omitempty"`
}

// Open makes the reward of a name.
func (r *Regex) Open(name string) (Function, error) {
	if r.Pattern == "" {
		return nil, fmt.Errorf("regex.pattern: want a regular expression")
	}
	pattern := r.Pattern
	if r.Full {
		pattern = `^(?:` + pattern + `)$`
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("regex.pattern: %w (the syntax is Go's, RE2)", err)
	}
	yes, no := valueOr(r.Match, 1), valueOr(r.NoMatch, 0)
	return &rule{name: name, score: func(s *Sample) (float64, error) {
		answer := s.Answer
		if r.Full {
			answer = strings.TrimSpace(answer)
		}
		if compiled.MatchString(answer) {
			return yes, nil
		}
		return no, nil
	}}, nil
}

func valueOr(x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	return *x
}

// LengthUnit names what a length is counted in.
type LengthUnit string

// The units.
const (
	Tokens     LengthUnit = "tokens"
	Words      LengthUnit = "words"
	Characters LengthUnit = "characters"
)

// Values implements the enum check of the configuration reader.
func (LengthUnit) Values() []string {
	return []string{string(Tokens), string(Words), string(Characters)}
}

// Length scores an answer by how long it is: 0 between Min and Max, and Slope for each unit that it is outside of them.
type Length struct {
	Unit LengthUnit `yaml:"unit,omitempty"` // tokens where it is not given
	// Min and Max are in units; Max 0 is none.
	Min int `yaml:"min,omitempty"`
	Max int `yaml:"max,omitempty"`
	// Slope is the score of each unit outside; -0.01 where it is not given.
	Slope *float64 `yaml:"slope,omitempty"`
	// Floor is the least score; -1 where it is not given.
	Floor *float64 `yaml:"floor,omitempty"`
}

// Open makes the reward of a name.
func (l *Length) Open(name string) (Function, error) {
	unit := l.Unit
	if unit == "" {
		unit = Tokens
	}
	switch {
	case l.Min == 0 && l.Max == 0:
		return nil, fmt.Errorf("length: want min, max or both")
	case l.Min < 0 || l.Max < 0 || l.Max > 0 && l.Max < l.Min:
		return nil, fmt.Errorf("length: want 0 <= min <= max, got min %d, max %d", l.Min, l.Max)
	}
	slope, floor := valueOr(l.Slope, -0.01), valueOr(l.Floor, -1)
	return &rule{name: name, score: func(s *Sample) (float64, error) {
		n, outside := unit.count(s), 0
		switch {
		case n < l.Min:
			outside = l.Min - n
		case l.Max > 0 && n > l.Max:
			outside = n - l.Max
		}
		return math.Max(floor, slope*float64(outside)), nil
	}}, nil
}

// count is the length of an answer.
func (u LengthUnit) count(s *Sample) int {
	switch u {
	case Words:
		return len(strings.Fields(s.Answer))
	case Characters:
		return utf8.RuneCountInString(s.Answer)
	}
	if s.Tokens == nil { // an answer that never was tokens
		return len(strings.Fields(s.Answer))
	}
	return len(s.Tokens)
}

// Repetition scores an answer by the share of its n-grams of words that occurred earlier in it, times Weight.
type Repetition struct {
	N int `yaml:"n,omitempty"` // 3 where it is not given
	// Weight is the score of an answer that only repeats; -1 where it is not given (as the repetition penalty of Yeo et
	// al. 2025, arXiv:2502.03373, appendix).
	Weight *float64 `yaml:"weight,omitempty"`
}

// Open makes the reward of a name.
func (r *Repetition) Open(name string) (Function, error) {
	n := r.N
	if n == 0 {
		n = 3
	}
	if n < 1 {
		return nil, fmt.Errorf("repetition.n: want at least 1, got %d", n)
	}
	weight := valueOr(r.Weight, -1)
	return &rule{name: name, score: func(s *Sample) (float64, error) {
		return weight * repeated(strings.Fields(strings.ToLower(s.Answer)), n), nil
	}}, nil
}

// repeated is the share of n-grams that occurred earlier; 0 for fewer words than n.
func repeated(words []string, n int) float64 {
	total := len(words) - n + 1
	if total < 1 {
		return 0
	}
	seen := map[string]bool{}
	for i := range total {
		seen[strings.Join(words[i:i+n], "\x00")] = true
	}
	return float64(total-len(seen)) / float64(total)
}
