package machine

import "fmt"

// SizeText writes bytes for people: "312 MB".
func SizeText(n int64) string {
	x, unit := float64(n), "bytes"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if x < 999.5 {
			break
		}
		x, unit = x/1000, u
	}
	switch {
	case unit == "bytes":
		return fmt.Sprintf("%d bytes", n)
	case x < 9.95:
		return fmt.Sprintf("%.1f %s", x, unit)
	}
	return fmt.Sprintf("%.0f %s", x, unit)
}
