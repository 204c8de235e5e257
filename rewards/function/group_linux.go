package function

import (
	"os/exec"
	"syscall"
)

// ownGroup lets a program run in a process group of its own, and die with this process however it ends.
func ownGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
