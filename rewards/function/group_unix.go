//go:build unix

package function

import (
	"os"
	"syscall"
)

// killGroup ends all processes of a program's group: at once, or asking them to.
func killGroup(leader *os.Process, atOnce bool) {
	signal := syscall.SIGTERM
	if atOnce {
		signal = syscall.SIGKILL
	}
	_ = syscall.Kill(-leader.Pid, signal) // nobody may be left
}
