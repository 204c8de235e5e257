package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"steer/rl/run"
)

// disk mounts a file system of its own of so many bytes, or skips aloud.
func disk(t *testing.T, size int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("nothing can be mounted here (%v): a full and a read-only disk are not tested", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// A disk that fills up ends a run with a sentence and its last checkpoint whole; with
// more room the same command goes on to the same end.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	const room = 1 << 20 // for one checkpoint of the job
	dir := disk(t, room)
	args := []string{"sft", sftJob.write(t, dir, up), "-o", "sft"}
	code, _, said := steerIn(t, dir, args...)
	require.Equal(t, exitFailure, code, said)
	require.Contains(t, said, "disk full writing")
	require.Contains(t, said, "the last checkpoint is step 2")
	require.Contains(t, said, "make room and give the same command again")
	folder := filepath.Join(dir, "sft")
	require.Equal(t, "step-000002", newest(folder))
	leftovers, err := filepath.Glob(filepath.Join(folder, run.CheckpointsDir, ".tmp-*"))
	require.NoError(t, err)
	require.Empty(t, leftovers, "the unfinished checkpoint is removed")

	// Still no room: the same again.
	code, _, said = steerIn(t, dir, args...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "going on after step 2")
	require.Contains(t, said, "disk full writing")

	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", 16*room)))
	_, said = mustSteer(t, dir, args...)
	require.Contains(t, said, "going on after step 2")
	sameRun(t, filepath.Join(up, "sft"), folder)
}

// So does an evaluation, which has measurements in place of checkpoints, and a report.
func TestFullDiskInAnEvaluation(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "eval")
	mustSteer(t, filepath.Dir(whole), evalArgs(t, whole)...)
	const room = 96 << 10 // for some measurements
	dir := disk(t, room)
	folder := filepath.Join(dir, "eval")
	for _, kept := range []string{`\d+ of \d+ measurements are done, and of the next every batch that was`,
		".*every (finished measurement is kept|batch that was)"} {
		code, _, said := steerIn(t, dir, evalArgs(t, folder)...)
		require.Equal(t, exitFailure, code, said)
		require.Contains(t, said, "disk full")
		require.Contains(t, said, "no space left on device")
		require.Regexp(t, "nothing was lost: "+kept+"; make room and give the same command again", said)
		leftovers, err := filepath.Glob(filepath.Join(folder, run.ItemsDir, ".*.tmp-*"))
		require.NoError(t, err)
		require.Empty(t, leftovers)
	}
	code, _, said := steerIn(t, dir, "report", whole, "--out", filepath.Join(dir, "report.html"))
	require.Equal(t, exitFailure, code, said)
	require.Contains(t, said,
		"nothing was lost: the run folders, and an earlier report, are as they were; make room and give the same "+
			"command again")
	require.NoFileExists(t, filepath.Join(dir, "report.html"))

	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", 64*room)))
	_, said = mustSteer(t, dir, evalArgs(t, folder)...)
	require.NotContains(t, said, "measured again")
	sameEvaluation(t, whole, folder)
}

// A folder that cannot be written is refused before anything is trained.
func TestUnwritableFolder(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	dir := t.TempDir()
	file := sftJob.write(t, dir, up)
	refused := func(t *testing.T, folder string) {
		code, out, said := steerIn(t, dir, "sft", file, "-o", folder)
		require.Equal(t, exitFailure, code, said)
		require.Empty(t, out)
		require.Contains(t, said, "run folder "+folder)
		require.NotContains(t, said, "before training", "nothing was computed")
		code, _, said = steerIn(t, dir, "report", filepath.Join(up, "sft"),
			"--out", filepath.Join(folder, "report.html"))
		require.Equal(t, exitFailure, code, said)
		require.Contains(t, said, folder)
	}
	t.Run("read-only", func(t *testing.T) {
		ro := disk(t, 1<<20)
		require.NoError(t, os.MkdirAll(filepath.Join(ro, "old", run.CheckpointsDir), 0o777))
		require.NoError(t, unix.Mount("tmpfs", ro, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		refused(t, filepath.Join(ro, "new"))
		refused(t, filepath.Join(ro, "old"))
	})
	t.Run("permissions", func(t *testing.T) {
		// Root may write anywhere, so the program runs as somebody else then.
		open := append(parents(dir), parents(program.dir)...)
		for _, d := range open {
			require.NoError(t, os.Chmod(d, 0o755))
		}
		closed := filepath.Join(dir, "closed")
		require.NoError(t, os.Mkdir(closed, 0o555))
		steer, _ := e2e(t)
		cmd := exec.Command(steer, "sft", file, "-o", filepath.Join(closed, "new"))
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		said, err := cmd.CombinedOutput()
		if errors.Is(err, os.ErrPermission) {
			t.Skipf("the program cannot be run as another user here (%v): permissions are not tested", err)
		}
		require.Equal(t, exitFailure, cmd.ProcessState.ExitCode(), "%s %v", said, err)
		require.Contains(t, string(said), "closed/new: cannot be made")
		require.Contains(t, string(said), "permission denied")
		require.Contains(t, string(said), "Check the owner and mode of that file or folder.")
	})
}

// parents lists a folder and those above it that belong to a test.
func parents(dir string) (dirs []string) {
	for ; dir != filepath.Clean(os.TempDir()) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
	}
	return dirs
}
