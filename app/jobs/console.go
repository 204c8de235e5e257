package jobs

import (
	"io"

	"steer/internal/filehash"
	"steer/internal/machine"
	"steer/rl/train"
)

// Console is where a stage shows itself and how it is asked to stop.
type Console struct {
	Progress train.Progress
	Stopper  *train.Stopper
	Out      io.Writer // final lines
	Version  string    // of the program
	Command  []string  // as typed, for the record
	Memory   machine.MemoryLimit
	Hashes   *filehash.Cache // of large files; may be nil
}
