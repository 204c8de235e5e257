//go:build !unix

package function

import (
	"os"
	"os/exec"
)

// ownGroup does nothing: there are no process groups here.
func ownGroup(*exec.Cmd) {}

// killGroup ends a program.
func killGroup(leader *os.Process, _ bool) { _ = leader.Kill() } // it may have ended
