package machine

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// ticks is a machine of three CPUs, on two of which this process may run.
func ticks(first, second, third string, user, system int) fstest.MapFS {
	return fstest.MapFS{
		"proc/self/status": {Data: []byte("Name:\tsteer\nCpus_allowed:\t5\nCpus_allowed_list:\t0,2-3\nThreads:\t4\n")},
		"proc/stat": {Data: []byte("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 " + first + "\ncpu1 " + second + "\ncpu2 " +
			third + "\nintr 1\n")},
		"proc/self/stat": {Data: []byte(fmt.Sprintf("77 (a ) name) S 1 2 3 4 5 6 7 8 9 10 %d %d 0 0 20 0\n", user,
			system))},
	}
}

func TestOthersShareOfTheCPUs(t *testing.T) {
	before, err := ReadCPUTime(ticks("100 0 50 800 50 0 0 0 0 0", "0 0 0 0 0 0 0 0 0 0", "10 0 0 990 0 0 0 0 0 0", 40,
		10))
	require.NoError(t, err)
	require.Equal(t, CPUTime{all: 2000, busy: 160, own: 50}, before)
	for _, c := range []struct {
		name         string
		first, third string
		own          int
		want         float64
	}{
		{"alone", "300 0 50 800 50 0 0 0 0 0", "210 0 0 990 0 0 0 0 0 0", 450, 0},
		{"beside others", "300 0 50 800 50 0 0 0 0 0", "150 20 20 990 0 10 10 0 0 0", 250, .5},
		{"a virtual machine whose host is busy", "200 0 50 800 50 0 0 100 0 0", "210 0 0 990 0 0 0 0 0 0", 350, .25},
		{"idle and waiting for the disk", "100 0 50 900 150 0 0 0 0 0", "10 0 0 1190 0 0 0 0 0 0", 50, 0},
		{"too short to tell", "120 0 50 800 50 0 0 0 0 0", "30 0 0 990 0 0 0 0 0 0", 50, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			after, err := ReadCPUTime(ticks(c.first, "500 0 0 0 0 0 0 0 0 0", c.third, c.own-10, 10))
			require.NoError(t, err)
			require.InDelta(t, c.want, after.Since(before).Others(), 1e-9)
		})
	}
	_, err = ReadCPUTime(fstest.MapFS{})
	require.Error(t, err)
}
