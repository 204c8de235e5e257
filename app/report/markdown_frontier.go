package report

import (
	"fmt"
	"strings"
)

// markdownFrontier writes how policies were made, and each trained one beside best-of-n at its KL.
func markdownFrontier(b *strings.Builder, r *Report) {
	if len(r.PolicyRows) > 0 {
		b.WriteString("\n## Policies and their frontier\n\nHow each policy was made.\n")
		var rows [][]string
		for _, p := range r.PolicyRows {
			rows = append(rows, []string{p.Policy, p.Method, p.Learns})
		}
		table(b, []string{"policy", "method", "learns from"}, rows)
	}
	if len(r.Frontier) == 0 {
		return
	}
	fmt.Fprintf(b, "\nEach trained policy beside best-of-n at its KL. %s\n", escapeMD(r.frontierNote()))
	var rows [][]string
	for _, f := range r.Frontier {
		best, gain := "beyond", "-"
		if f.BestOf != nil {
			best, gain = num(*f.BestOf), plus(num(*f.Gain))
		}
		rows = append(rows, []string{f.Policy, f.Reward, f.KL.text(), f.Score.text(), best, gain})
	}
	table(b, []string{"policy", "reward", "KL, nats", "score", "best-of-n there", "gain"}, rows)
}
