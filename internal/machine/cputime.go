package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// CPUTime is time that CPUs have counted, in the kernel's ticks, of those this process may run on.
type CPUTime struct {
	all, busy int64
	own       int64 // of busy, this process
}

// Fields of /proc/stat's lines of CPUs, and of /proc/self/stat behind the name.
const (
	statFields   = 8 // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user
	statIdle     = 3
	statIOWait   = 4
	selfUser     = 11
	selfSystem   = 12
	cpusAllowed  = "Cpus_allowed_list:"
	leastTicks   = 50 // a shorter time tells nothing
	busyFrom     = .1 // of the CPUs' time: less is what a machine always does
	ticksIsError = "%s: want %s, got %.80q"
)

// ReadCPUTime reads the counters (Linux). root is the file system.
func ReadCPUTime(root fs.FS) (t CPUTime, err error) {
	status, err1 := fs.ReadFile(root, "proc/self/status")
	stat, err2 := fs.ReadFile(root, "proc/stat")
	self, err3 := fs.ReadFile(root, "proc/self/stat")
	if err := errors.Join(err1, err2, err3); err != nil {
		return t, err
	}
	_, list, _ := strings.Cut(string(status), cpusAllowed)
	list, _, _ = strings.Cut(list, "\n")
	for _, line := range strings.Split(string(stat), "\n") {
		fields := strings.Fields(line)
		if len(fields) <= statFields || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		cpu, err := strconv.Atoi(fields[0][len("cpu"):])
		if err != nil || !inList(list, cpu) { // the first line is the sum of all
			continue
		}
		for i, text := range fields[1 : statFields+1] {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return t, fmt.Errorf(ticksIsError, "/proc/stat", "numbers", line)
			}
			t.all += n
			if i != statIdle && i != statIOWait {
				t.busy += n
			}
		}
	}
	_, behind, ok := strings.Cut(string(self), ") ") // the program's name may hold anything
	fields := strings.Fields(behind)
	if !ok || len(fields) <= selfSystem {
		return t, fmt.Errorf(ticksIsError, "/proc/self/stat", "15 fields or more", self)
	}
	user, err1 := strconv.ParseInt(fields[selfUser], 10, 64)
	system, err2 := strconv.ParseInt(fields[selfSystem], 10, 64)
	t.own = user + system
	return t, errors.Join(err1, err2)
}

// inList tells whether a list such as "0-3,8" holds a CPU.
func inList(list string, cpu int) bool {
	for _, part := range strings.Split(strings.TrimSpace(list), ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil && a <= cpu && cpu <= b {
			return true
		}
	}
	return false
}

// Since is the time from an earlier reading on.
func (t CPUTime) Since(before CPUTime) CPUTime {
	return CPUTime{all: t.all - before.all, busy: t.busy - before.busy, own: t.own - before.own}
}

func (t CPUTime) Add(u CPUTime) CPUTime {
	return CPUTime{all: t.all + u.all, busy: t.busy + u.busy, own: t.own + u.own}
}

// Others is the share of the CPUs' time that other programs took, 0 where it is too little to
// slow anything down, or where too little time went by to tell.
func (t CPUTime) Others() float64 {
	if t.all < leastTicks {
		return 0
	}
	share := float64(t.busy-t.own) / float64(t.all)
	if share < busyFrom {
		return 0
	}
	return min(1, share)
}
