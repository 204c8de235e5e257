package machine

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"steer/internal/cgroup"
)

// MemoryOf reads what this process holds (Linux: /proc/self/status and smaps).
func MemoryOf(model string) (Process, error) {
	status, err := procFields(System(), "proc/self/status")
	if err != nil {
		return Process{}, err
	}
	p := Process{Own: status["VmRSS"], Anon: status["RssAnon"] + status["RssShmem"], Most: status["VmHWM"]}
	if path, err := filepath.EvalSymlinks(model); err == nil {
		model = path
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return Process{}, err
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
// what its control groups leave of their limits, whichever is least. root is that of the file
// system.
func freeMemory(root fs.FS) (int64, error) {
	info, err := procFields(root, "proc/meminfo")
	if err != nil {
		return 0, err
	}
	free, ok := info["MemAvailable"]
	if !ok {
		return 0, fmt.Errorf("/proc/meminfo: no MemAvailable")
	}
	groups, err := cgroup.Read(root)
	if err != nil {
		return 0, err
	}
	if groups.Memory >= 0 {
		free = min(free, groups.Memory)
	}
	return free, nil
}

// procFields reads lines such as "VmRSS:  123 kB", in bytes.
func procFields(root fs.FS, path string) (map[string]int64, error) {
	raw, err := fs.ReadFile(root, path)
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
