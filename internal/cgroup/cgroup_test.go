package cgroup

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// tree is a file system of these files.
func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

const (
	unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	hybrid  = `25 20 8:1 / / rw - ext4 /dev/sda1 rw
31 20 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	noLimitV1 = "9223372036854771712\n"
)

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Limits
	}{
		{"a system without control groups", nil, Limits{Memory: -1}},
		{"version 2, the root", map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": unified},
			Limits{Memory: -1}},
		{"version 2, page cache is given back", map[string]string{
			"proc/self/cgroup": "0::/job\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/job/memory.max": "1400000000\n", "sys/fs/cgroup/job/memory.current": "1300000000\n",
			"sys/fs/cgroup/job/memory.stat": "anon 50000000\nfile 1250000000\ninactive_file 900000000\nactive_file " +
				"300000000\nslab 7\n",
			"sys/fs/cgroup/job/cpu.max": "max 100000\n",
		}, Limits{Memory: 1300000000, MemoryFrom: "/sys/fs/cgroup/job"}},
		{"version 2, nested: the limits are those of groups above", map[string]string{
			"proc/self/cgroup": "0::/system.slice/job/step\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/system.slice/job/step/memory.max":     "max\n",
			"sys/fs/cgroup/system.slice/job/step/memory.current": "100\n",
			"sys/fs/cgroup/system.slice/job/memory.max":          "5000\n",
			"sys/fs/cgroup/system.slice/job/memory.current":      "1000\n",
			"sys/fs/cgroup/system.slice/memory.max":              "6000\n",
			"sys/fs/cgroup/system.slice/memory.current":          "4500\n",
			"sys/fs/cgroup/system.slice/memory.stat":             "inactive_file 200\nactive_file 0\n",
			"sys/fs/cgroup/system.slice/job/cpu.max":             "150000 100000\n",
			"sys/fs/cgroup/system.slice/cpu.max":                 "400000 100000\n",
		}, Limits{Memory: 1700, MemoryFrom: "/sys/fs/cgroup/system.slice", CPUs: 1.5,
			CPUsFrom: "/sys/fs/cgroup/system.slice/job"}},
		{"version 2, high", map[string]string{
			"proc/self/cgroup": "0::/job\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/job/memory.max": "9000\n", "sys/fs/cgroup/job/memory.high": "4000\n",
			"sys/fs/cgroup/job/memory.current": "1000\n",
		}, Limits{Memory: 3000, MemoryFrom: "/sys/fs/cgroup/job"}},
		{"more in use than allowed", map[string]string{
			"proc/self/cgroup": "0::/job\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/job/memory.max": "900\n", "sys/fs/cgroup/job/memory.current": "1000\n",
		}, Limits{Memory: 0, MemoryFrom: "/sys/fs/cgroup/job"}},
		{"version 1", map[string]string{
			"proc/self/cgroup": "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n", "proc/self/mountinfo": hybrid,
			"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "120000000\n",
			"sys/fs/cgroup/memory/box/memory.usage_in_bytes": "100000000\n",
			"sys/fs/cgroup/memory/box/memory.stat": "cache 1\ninactive_file 1\nhierarchical_memory_limit " +
				"120000000\ntotal_inactive_file 30000000\ntotal_active_file 10000000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":      noLimitV1,
			"sys/fs/cgroup/memory/memory.usage_in_bytes":      "20000000000\n",
			"sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us":  "200000\n",
			"sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":      "-1\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us":     "100000\n",
		}, Limits{Memory: 60000000, MemoryFrom: "/sys/fs/cgroup/memory/box", CPUs: 2,
			CPUsFrom: "/sys/fs/cgroup/cpu,cpuacct/box"}},
		{"version 1, a limit of a group that a container does not see", map[string]string{
			"proc/self/cgroup": "4:memory:/docker/abc\n",
			"proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup " +
				"cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": noLimitV1,
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/memory.stat": "hierarchical_memory_limit 8000\ntotal_inactive_file " +
				"100\ntotal_active_file 0\n",
		}, Limits{Memory: 7100, MemoryFrom: "/sys/fs/cgroup/memory"}},
		{"version 1, groups above that do not count this one", map[string]string{
			"proc/self/cgroup": "4:memory:/a/b\n", "proc/self/mountinfo": hybrid,
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "5000\n",
			"sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/a/b/memory.use_hierarchy":  "0\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "10\n",
			"sys/fs/cgroup/memory/a/memory.usage_in_bytes":   "5\n",
		}, Limits{Memory: 4000, MemoryFrom: "/sys/fs/cgroup/memory/a/b"}},
		{"a container that is told the host's name of its group", map[string]string{
			"proc/self/cgroup":         "0::/docker/abc\n",
			"proc/self/mountinfo":      unified,
			"sys/fs/cgroup/memory.max": "3000\n", "sys/fs/cgroup/memory.current": "1000\n",
			"sys/fs/cgroup/cpu.max": "50000 100000\n",
		}, Limits{Memory: 2000, MemoryFrom: "/sys/fs/cgroup", CPUs: .5, CPUsFrom: "/sys/fs/cgroup"}},
		{"a group outside of the namespace", map[string]string{
			"proc/self/cgroup": "0::/../other\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/memory.max": "3000\n", "sys/fs/cgroup/memory.current": "1000\n",
		}, Limits{Memory: 2000, MemoryFrom: "/sys/fs/cgroup"}},
		{"a mount point with a blank", map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": `30 23 0:26 / /my\040groups rw - cgroup2 cgroup2 rw` +
				"\n",
			"my groups/memory.max": "3000\n", "my groups/memory.current": "1000\n",
		}, Limits{Memory: 2000, MemoryFrom: "/my groups"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read(tree(c.files))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

// What cannot be understood is an error that names the file, not "no limit".
func TestUnreadableLimits(t *testing.T) {
	for file, text := range map[string]string{"memory.max": "many", "cpu.max": "fast 100000", "memory.current": "-"} {
		files := map[string]string{
			"proc/self/cgroup": "0::/job\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/job/memory.max": "9000\n", "sys/fs/cgroup/job/memory.current": "1000\n",
			"sys/fs/cgroup/job/" + file: text,
		}
		files["sys/fs/cgroup/job/"+file] = text
		_, err := Read(tree(files))
		require.ErrorContains(t, err, "/sys/fs/cgroup/job/"+file)
	}
}
