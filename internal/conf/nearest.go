package conf

import (
	"fmt"
	"slices"
	"strings"
)

// hint ends an unknown-key message with the nearest known key, or all of them.
func hint(name string, known []string) string {
	if near, ok := Nearest(name, known); ok {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	if len(known) == 0 {
		return ": no key is known here"
	}
	sorted := slices.Sorted(slices.Values(known))
	return ": known here: " + strings.Join(sorted, ", ")
}

// Nearest returns the known name with the smallest edit distance to name, if that is
// near enough to be a slip: a third of it, and no more than half.
func Nearest(name string, known []string) (string, bool) {
	best, bestDist := "", 1<<30
	for _, k := range known {
		if dist := distance(strings.ToLower(name), strings.ToLower(k)); dist < bestDist {
			best, bestDist = k, dist
		}
	}
	limit := max(2, len(name)/3)
	return best, bestDist <= limit && 2*bestDist <= max(len(name), len(best))
}

// distance is Levenshtein's: insertions, deletions, substitutions of bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
