package machine

import (
	"runtime/debug"
	"runtime/metrics"
)

// Process is the memory of this process, in bytes.
type Process struct {
	// Own is resident and not of the model's file: program, libraries, Go, libllama's tables.
	Own int64
	// Anon is the part of Own that is in no file: what the kernel cannot give back.
	Anon int64
	// Mapped is the size of the mapping of the model's file.
	Mapped int64
	// Go is the part of Own that the Go runtime holds.
	Go int64
	// Most is the resident set's high-water mark.
	Most int64
}

// GoBytes is what the Go runtime holds of the operating system: heap, stacks, its own tables.
func GoBytes() int64 {
	m := goMetrics("/memory/classes/total:bytes", "/memory/classes/heap/released:bytes")
	return m[0] - m[1]
}

func goMetrics(names ...string) []int64 {
	s := make([]metrics.Sample, len(names))
	for i, name := range names {
		s[i].Name = name
	}
	metrics.Read(s)
	out := make([]int64, len(names))
	for i := range s {
		out[i] = int64(s[i].Value.Uint64())
	}
	return out
}

// GoNeed is what the Go runtime needs to go on as it was at its last collection: what was
// alive, an eighth more for the collector to work in, and what is no heap. Left to itself the
// heap grows to twice what is alive before it is collected; a run holds it to its plan.
func GoNeed() int64 {
	m := goMetrics("/gc/heap/live:bytes", "/memory/classes/total:bytes", "/memory/classes/heap/objects:bytes",
		"/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes", "/memory/classes/heap/released:bytes")
	other := m[1] - m[2] - m[3] - m[4] - m[5]
	return other + m[0] + m[0]/8 + goSlack
}

// goSlack is for what a stage does between two looks of the rehearsal.
const goSlack = 8 << 20

// HoldGo keeps the Go runtime to so many bytes, as far as what is alive allows, until
// the returned function is called. A stricter limit (GOMEMLIMIT) stays.
func HoldGo(bytes int64) (release func()) {
	before := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(before, bytes))
	return func() { debug.SetMemoryLimit(before) }
}
