//go:build !linux

package speed

import (
	"runtime"
	"syscall"
)

// peakRSS is the largest resident memory this process had, in bytes, mapped weights included.
func peakRSS() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" { // bytes there, kilobytes elsewhere
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}
