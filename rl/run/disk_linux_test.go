package run

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"steer/ggml/lm"
)

// /dev/full answers every write as a full disk does.
func TestFullDiskInTheLogs(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full on this system: a full disk under the logs is not checked")
	}
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/dev/full", filepath.Join(dir, MetricsFile)))
	r := open(t, dir, options())
	err := r.Metrics.Log(1, map[string]float64{"loss": 1})
	require.ErrorIs(t, err, ErrDiskFull)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "there was no checkpoint yet")
}

const tinyDisk = "STEER_TEST_TINY_DISK"

// A real full disk: a tmpfs of 256 KiB in a mount namespace of its own, seen only by a
// child of this test.
func TestFullDiskInACheckpoint(t *testing.T) {
	if dir := os.Getenv(tinyDisk); dir != "" {
		fillTinyDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDiskInACheckpoint$", "-test.v")
	cmd.Env = append(os.Environ(), tinyDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Skipf("no mount namespace here (%v): a full disk under a checkpoint is not checked", err)
	}
	t.Log(string(out))
	require.NoError(t, err)
	if !bytes.Contains(out, []byte("tiny disk: passed")) {
		t.Skip("no tmpfs can be mounted here: a full disk under a checkpoint is not checked")
	}
}

func fillTinyDisk(t *testing.T, dir string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("cannot make mounts private:", err)
		return
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		fmt.Println("cannot mount:", err)
		return
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	r, err := Open(dir, options())
	require.NoError(t, err)
	defer r.Close()
	big := func(step int64) *lm.State {
		tensor := func() []lm.Tensor {
			return []lm.Tensor{{Name: "a", Shape: []int{8192}, Data: make([]float32, 8192)}} // 32 KiB
		}
		return &lm.State{Step: step, Params: tensor(), M: tensor(), V: tensor()}
	}
	require.NoError(t, r.Checkpoint(Checkpoint{Step: 100, Learner: big(100)}))
	require.NoError(t, r.Checkpoint(Checkpoint{Step: 200, Learner: big(200)}))
	err = r.Checkpoint(Checkpoint{Step: 300, Learner: big(300)})
	require.ErrorIs(t, err, ErrDiskFull)
	require.ErrorContains(t, err, "step-000300")
	require.ErrorContains(t, err, "nothing was lost: the last checkpoint is step 200")
	require.Equal(t, []string{"step-000100", "step-000200"}, folders(t, r))
	c, warnings, err := r.Latest()
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, big(200), c.Learner)

	// Metrics fill what is left; the line that found no room leaves no part behind.
	for step := int64(0); ; step++ {
		if err = r.Metrics.Log(step, map[string]float64{"loss": 1}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrDiskFull)
	data, err := os.ReadFile(r.Path(MetricsFile))
	require.NoError(t, err)
	require.Equal(t, byte('\n'), data[len(data)-1])

	// The same folder on a file system that takes no writes at all, whoever asks.
	require.NoError(t, r.Close())
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err = Open(dir, options())
	require.ErrorContains(t, err, "not writable")
	_, err = Open(filepath.Join(dir, "new"), options())
	require.ErrorContains(t, err, "cannot be made")
	fmt.Println("tiny disk: passed")
}
