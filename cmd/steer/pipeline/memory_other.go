//go:build !linux

package pipeline

import (
	"errors"
	"io/fs"
	"os"
)

// memoryOf knows of this process only what Go holds: the operating system is asked on
// Linux alone.
func memoryOf(model string) (process, error) {
	st, err := os.Stat(model)
	if err != nil {
		return process{}, err
	}
	return process{Own: goBytes(), Anon: goBytes(), Mapped: st.Size()}, nil
}

func freeMemory(fs.FS) (int64, error) {
	return 0, errors.New("how much memory is free is known on Linux only: give it with --memory")
}
