package atomicfile

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// writerEnv names the file that a child process of the tests begins to write.
const writerEnv = "ATOMICFILE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		f, err := Create(path)
		if err == nil {
			_, err = f.Write([]byte("half"))
		}
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("writing\n")
		select {} // until it is killed
	}
	os.Exit(m.Run())
}

// writer starts a process that is writing a file.
func writer(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), writerEnv+"="+path)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "writing\n", line)
	return c
}

func kill(c *exec.Cmd) {
	_ = c.Process.Signal(syscall.SIGKILL)
	_ = c.Wait() // says that it was killed
}

func TestTheNextWriteRemovesWhatAKilledProcessLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "experiment.yaml")
	kill(writer(t, path))
	kill(writer(t, filepath.Join(dir, "other")))
	require.Len(t, names(t, dir), 2)
	require.NoError(t, WriteFile(path, []byte("whole"), 0o666))
	left := names(t, dir)
	require.Len(t, left, 2, "a write sweeps its own name only: the folder may be anybody's")
	require.Contains(t, left, "experiment.yaml")
	require.NoError(t, RemoveLeftovers(dir))
	require.Equal(t, []string{"experiment.yaml"}, names(t, dir))
}

func TestALivingWriterIsNotDisturbed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	c := writer(t, path)
	defer kill(c)
	f, err := Create(path) // two at once: the later wins
	require.NoError(t, err)
	require.NoError(t, RemoveLeftovers(dir))
	require.Len(t, names(t, dir), 2, "both are being written")
	require.NoError(t, f.Commit())
	require.Len(t, names(t, dir), 2)
	kill(c)
	require.NoError(t, RemoveLeftovers(dir))
	require.Equal(t, []string{"a"}, names(t, dir))
}

func TestASweepTouchesOnlyOurNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.tmp-12", ".a.tmp-0123456g", "a.tmp-01234567", ".tmp-01234567",
		".a.tmp-01234567.bak", ".a.TMP-01234567"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".d.tmp-01234567"), 0o777))
	before := names(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".a.b.tmp-01234567"), nil, 0o666))
	require.NoError(t, RemoveLeftovers(dir))
	require.Equal(t, before, names(t, dir))
	require.NoError(t, RemoveLeftovers(filepath.Join(dir, "not-there")))
}
