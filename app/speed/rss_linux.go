package speed

import (
	"fmt"
	"os"
	"strings"
)

// peakRSS is the largest resident memory this process had, in bytes, mapped weights
// included. VmHWM starts with the process's own program; getrusage's ru_maxrss would start
// with the size of the process that started it.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		return 0
	}
	return kB << 10
}
