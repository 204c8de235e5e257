//go:build unix && !linux

package function

import (
	"os/exec"
	"syscall"
)

// ownGroup lets a program run in a process group of its own. If this process is killed, the end of its
// standard input is what it ends by.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
