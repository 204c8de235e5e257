package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATemporaryFolderRemovesWhatKilledProcessesLeft(t *testing.T) {
	parent := t.TempDir()
	left := filepath.Join(parent, "steer-plan-1234") // nobody holds it
	require.NoError(t, os.MkdirAll(filepath.Join(left, "items"), 0o777))
	other := filepath.Join(parent, "other-1234")
	require.NoError(t, os.Mkdir(other, 0o777))
	file := filepath.Join(parent, "steer-plan-file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))

	one, removeOne, err := TempDir(parent, "steer-plan-")
	require.NoError(t, err)
	require.NoDirExists(t, left)
	two, removeTwo, err := TempDir(parent, "steer-plan-")
	require.NoError(t, err)
	require.DirExists(t, one, "the folder of somebody who lives")
	require.NoError(t, os.WriteFile(filepath.Join(two, "x"), nil, 0o666))
	require.NoError(t, removeOne())
	require.NoError(t, removeTwo())
	require.NoDirExists(t, one)
	require.NoDirExists(t, two)
	require.DirExists(t, other)
	require.FileExists(t, file)
}
