package adapter

import (
	"fmt"
	"slices"
	"strings"
)

// coverage says where a PEFT folder has no weights for what its configuration names, or
// weights for what it does not name, with counts. PEFT itself warns at most: matrices without
// weights stay as the base has them, weights beside the configuration are left out.
func coverage(a *Adapter, c *peftConfig, shape Shape) (notices []string) {
	has := map[string][]int{}
	for _, p := range a.Pairs {
		if layer, target, err := parseName(p.Name); err == nil {
			has[target] = append(has[target], layer)
		}
	}
	named, whose := c.Layers, "layers_to_transform names"
	if named == nil {
		whose = "the base has"
		for i := range shape.Layers {
			named = append(named, i)
		}
	}
	// Targets that are adapted in the same layers share a sentence.
	groups := map[string][]string{}
	var order []string
	for _, t := range shape.Targets() {
		if len(has[t]) == 0 {
			continue
		}
		slices.Sort(has[t])
		key := fmt.Sprint(has[t])
		if groups[key] == nil {
			order = append(order, t)
		}
		groups[key] = append(groups[key], shape.module(t).proj)
	}
	for _, t := range order {
		of := strings.Join(groups[fmt.Sprint(has[t])], ", ")
		if missing := without(named, has[t]); len(missing) > 0 {
			notices = append(notices, fmt.Sprintf("%s: weights in %d of the %d layers that %s, none in layers %s: "+
				"these stay as the base has them",
				of, len(named)-len(missing), len(named), whose, Ranges(missing)))
		}
		if beside := without(has[t], named); len(beside) > 0 {
			notices = append(notices, fmt.Sprintf("%s: layers_to_transform names layers %s (%d), but there are "+
				"weights in layers %s (%d) as well: "+
				"they are used, PEFT would leave them out", of, Ranges(named), len(named), Ranges(beside), len(beside)))
		}
	}
	var none []string
	for _, m := range c.Targets {
		if t, ok := peftToGGUF[m]; ok && len(has[t]) == 0 {
			none = append(none, m)
		}
	}
	if len(none) > 0 {
		notices = append(notices, fmt.Sprintf("target_modules names %d modules, of which %s have no weights in "+
			"any layer", len(c.Targets), strings.Join(none, ", ")))
	}
	return notices
}

// without lists the members of all that are not in some; both ascend.
func without(all, some []int) (out []int) {
	for _, x := range all {
		if _, found := slices.BinarySearch(some, x); !found {
			out = append(out, x)
		}
	}
	return out
}

// Ranges prints ascending numbers with runs as "0-29".
func Ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if j == i {
			parts = append(parts, fmt.Sprint(numbers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
