package bytesize

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes: "24GB" (10^9), "16GiB" (2^30), "512MB", "4096".
type Size int64

var units = []struct {
	name  string
	bytes float64
}{ // longest names first, so that "MiB" is not read as "B"
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := strings.TrimSpace(string(text)), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	x, err := strconv.ParseFloat(number, 64)
	if bytes := x * factor; err != nil || !(bytes >= 0) || bytes >= math.MaxInt64 {
		return fmt.Errorf(`want a size such as "24GB" or "512MiB", got %q`, text)
	}
	*s = Size(math.Round(x * factor))
	return nil
}

// MarshalText implements encoding.TextMarshaler; it prints the largest unit that keeps
// the exact number.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is MarshalText's text.
func (s Size) String() string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
