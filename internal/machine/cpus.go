package machine

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"

	"steer/internal/cgroup"
)

// System is the file system of the machine, from its root.
func System() fs.FS { return os.DirFS("/") }

// Allowance is what this process may use of the machine's CPUs.
type Allowance struct {
	cpus  int     // that it may run on
	quota float64 // CPUs' worth of time, of its control groups; 0: all
	from  string  // the group that sets the quota
}

// allowanceOf reads the quota; where that cannot be read there is none that is known of.
func allowanceOf(root fs.FS, cpus int) Allowance {
	groups, err := cgroup.Read(root)
	if err != nil {
		return Allowance{cpus: cpus}
	}
	return Allowance{cpus: cpus, quota: groups.CPUs, from: groups.CPUsFrom}
}

// CPUs is the allowance on this machine. (The CPUs that a process may run on, its cpuset or
// affinity, are all that Go counts.)
func CPUs() Allowance { return allowanceOf(System(), runtime.NumCPU()) }

// Threads is how many compute threads are of use: waiting for one another they spin, which
// takes of a quota and gives nothing.
func (a Allowance) Threads() int {
	if a.quota == 0 {
		return a.cpus
	}
	return max(1, min(a.cpus, int(math.Round(a.quota))))
}

// TooMany says what is wrong with so many threads, "" if nothing is.
func (a Allowance) TooMany(threads int) string {
	switch {
	case threads > a.cpus:
		return fmt.Sprintf("%d threads on %d CPUs: they will wait for one another", threads, a.cpus)
	case threads > a.Threads():
		return fmt.Sprintf("%d threads, but the control group %s gives this process the time of %.3g CPUs: "+
			"they will wait for one another (--threads %d suits it)", threads, a.from, a.quota, a.Threads())
	}
	return ""
}
