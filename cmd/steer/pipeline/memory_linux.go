package pipeline

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryOf reads what this process holds (Linux: /proc/self/status and smaps).
func memoryOf(model string) (process, error) {
	status, err := procFields("/proc/self/status")
	if err != nil {
		return process{}, err
	}
	p := process{Own: status["VmRSS"], Most: status["VmHWM"]}
	if path, err := filepath.EvalSymlinks(model); err == nil {
		model = path
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return process{}, err
	}
	defer f.Close()
	of := false // the mapping being read is the model's
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 0 && !strings.HasSuffix(fields[0], ":"):
			of = len(fields) > 5 && strings.HasSuffix(lines.Text(), " "+model)
		case of && fields[0] == "Size:":
			p.Mapped += kilobytes(fields)
		case of && fields[0] == "Rss:":
			p.Own -= kilobytes(fields)
		}
	}
	return p, lines.Err()
}

// freeMemory is what this process may still take: the machine's available memory, or
// what the control group leaves of its limit, whichever is less.
func freeMemory() (int64, error) {
	info, err := procFields("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	free, ok := info["MemAvailable"]
	if !ok {
		return 0, fmt.Errorf("/proc/meminfo: no MemAvailable")
	}
	limit, errLimit := number("/sys/fs/cgroup/memory.max")
	current, errCurrent := number("/sys/fs/cgroup/memory.current")
	if errLimit == nil && errCurrent == nil {
		free = min(free, max(0, limit-current))
	}
	return free, nil
}

// procFields reads lines such as "VmRSS:  123 kB", in bytes.
func procFields(path string) (map[string]int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, line := range strings.Split(string(raw), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == "kB" {
			out[strings.TrimSuffix(fields[0], ":")] = kilobytes(fields)
		}
	}
	return out, nil
}

func kilobytes(fields []string) int64 {
	n, _ := strconv.ParseInt(fields[1], 10, 64)
	return n << 10
}

// number reads a file that holds a number; "max" is none.
func number(path string) (int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
}
