package bytesize

import "fmt"

// Text writes a number of bytes for people, to two digits: "312 MB", "5.3 GB".
func Text(n int64) string {
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

// Precise writes a number of bytes to three digits: "98.4 MB".
func Precise(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	x, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if x /= 1000; x < 999.5 {
			break
		}
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}

// Transferred writes what was fetched so far: gigabytes keep a decimal, however many they are,
// so that one sees it grow.
func Transferred(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 1e7:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n < 1e9:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
