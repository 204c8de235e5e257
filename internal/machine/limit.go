package machine

import "steer/internal/bytesize"

// MemoryLimit says what a stage may take.
type MemoryLimit struct {
	// Bytes may be resident, or on a GPU in use there; 0: what is free when the stage begins.
	Bytes bytesize.Size
	// Force runs what does not fit.
	Force bool
}

// Limit is the host's memory that this process may come to hold, 0 if it cannot be told.
func (l MemoryLimit) Limit() int64 {
	if l.Bytes > 0 {
		return int64(l.Bytes)
	}
	free, err := freeMemory(System())
	if err != nil {
		return 0
	}
	if p, err := MemoryOf(""); err == nil {
		free += p.Anon // held already; pages of files are among the free ones
	}
	return free
}
