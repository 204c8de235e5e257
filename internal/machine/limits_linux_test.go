package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// machineOf is a file system as a process sees it in a control group of version 2.
func machineOf(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{
		"proc/meminfo":        {Data: []byte("MemTotal: 32000000 kB\nMemAvailable: 24000000 kB\n")},
		"proc/self/cgroup":    {Data: []byte("0::/box\n")},
		"proc/self/mountinfo": {Data: []byte("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")},
	}
	for name, text := range files {
		out["sys/fs/cgroup/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestFreeMemoryIsWhatControlGroupsLeave(t *testing.T) {
	free, err := freeMemory(machineOf(nil))
	require.NoError(t, err)
	require.Equal(t, int64(24000000)<<10, free)
	free, err = freeMemory(machineOf(map[string]string{
		"box/memory.max": "1400000000", "box/memory.current": "1300000000",
		"box/memory.stat": "inactive_file 800000000\nactive_file 207000000\n",
	}))
	require.NoError(t, err)
	require.Equal(t, int64(1107000000), free, "page cache is given back")
	free, err = freeMemory(machineOf(map[string]string{"memory.max": "5000", "memory.current": "2000"}))
	require.NoError(t, err)
	require.Equal(t, int64(3000), free, "a group above")
	_, err = freeMemory(machineOf(map[string]string{"box/memory.max": "much"}))
	require.ErrorContains(t, err, "memory.max")
}

func TestThreadsAreThoseOfTheQuota(t *testing.T) {
	for _, c := range []struct {
		quota   string
		cpus    int
		threads int
	}{{"max 100000", 64, 64}, {"200000 100000", 64, 2}, {"150000 100000", 64, 2}, {"140000 100000", 64, 1},
		{"20000 100000", 64, 1}, {"800000 100000", 4, 4}} {
		a := allowanceOf(machineOf(map[string]string{"box/cpu.max": c.quota}), c.cpus)
		require.Equal(t, c.threads, a.Threads(), c.quota)
		require.Empty(t, a.TooMany(a.Threads()))
		require.Empty(t, a.TooMany(0))
		require.Contains(t, a.TooMany(65), "they will wait for one another")
	}
	a := allowanceOf(machineOf(map[string]string{"cpu.max": "200000 100000"}), 64)
	require.Equal(t, "8 threads, but the control group /sys/fs/cgroup gives this process the time of 2 CPUs: they "+
		"will wait for one another (--threads 2 suits it)", a.TooMany(8))
}

// The real thing, where this process may make a control group.
func TestRealMemoryLimitIsSeen(t *testing.T) {
	if os.Getenv("STEER_IN_CGROUP") != "" {
		free, err := freeMemory(System())
		require.NoError(t, err)
		t.Logf("free %d", free)
		require.Less(t, free, int64(200<<20))
		require.Greater(t, free, int64(100<<20))
		most := MemoryLimit{}.Limit()
		t.Logf("may hold %d", most)
		require.LessOrEqual(t, most, int64(200<<20), "what is held already is not counted twice")
		return
	}
	const limit = 200 << 20
	dir, err := os.MkdirTemp("/sys/fs/cgroup/memory", "steer-test-")
	if err != nil {
		t.Skipf("no control group of version 1 can be made here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, os.Remove(dir)) })
	inner := filepath.Join(dir, "inner")
	require.NoError(t, os.Mkdir(inner, 0o755))
	t.Cleanup(func() { require.NoError(t, os.Remove(inner)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte(strconv.Itoa(limit)), 0o644))
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("sh", "-c",
		`echo $$ > "$0/cgroup.procs" && exec "$1" -test.run '^TestRealMemoryLimitIsSeen$' -test.v`, inner, self)
	cmd.Env = append(os.Environ(), "STEER_IN_CGROUP=1", "GOMAXPROCS="+strconv.Itoa(runtime.NumCPU()))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS")
	t.Log(strings.TrimSpace(string(out)))
}
