package workspacetest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/workspace"
	"steer/demo"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/rewards"
	"steer/rl/train"
)

// Open opens a workspace as a job asks for it (pass its Base), and closes it with the test.
func Open(t testing.TB, base func() (string, workspace.EngineConfig)) *workspace.Workspace {
	t.Helper()
	w, err := workspace.Open(base())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()); require.Zero(t, ggml.Alive()) })
	return w
}

// Demo opens a workspace on the built-in model, one thread.
func Demo(t testing.TB) (*workspace.Workspace, demo.Paths) {
	t.Helper()
	assets, err := demo.Extract(t.TempDir())
	require.NoError(t, err)
	return Open(t, func() (string, workspace.EngineConfig) {
		e := workspace.DefaultEngine()
		e.Threads = 1
		return assets.Model, e
	}), assets
}

// TrainedAdapter writes an adapter that changes what the model does and says what it is.
func TrainedAdapter(t testing.TB, w *workspace.Workspace, name string, seed uint64, meta map[string]string) string {
	t.Helper()
	a, err := adapter.New(w.Model.Shape(), []string{"attn_q", "attn_v"}, 2, 4, false, seed)
	require.NoError(t, err)
	for i := range a.Pairs {
		for j := range a.Pairs[i].B {
			a.Pairs[i].B[j] = float32((uint64(j)*seed)%7) / 100
		}
	}
	if role := adapter.Role(meta[adapter.MetaRole]); role == adapter.RoleReward || role == adapter.RolePolicy {
		a.Head = &adapter.Head{Weight: rewards.HeadScaled.Weights(w.Model.Shape().Embd, seed)}
	}
	a.Describe(meta)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, a.Save(path))
	return path
}

// RewardAdapter writes a reward adapter with a random head.
func RewardAdapter(t testing.TB, w *workspace.Workspace, meta map[string]string) string {
	t.Helper()
	a, err := adapter.New(w.Model.Shape(), []string{"attn_q"}, 2, 4, false, 1)
	require.NoError(t, err)
	a.Head = &adapter.Head{Weight: rewards.HeadScaled.Weights(w.Model.Shape().Embd, 1)}
	a.Meta = meta
	path := filepath.Join(t.TempDir(), "reward.gguf")
	require.NoError(t, a.Save(path))
	return path
}

// TrainedOn is what an adapter says that was trained on top of the ones at paths.
func TrainedOn(
	t testing.TB, w *workspace.Workspace, role adapter.Role, more map[string]string, paths ...string,
) map[string]string {
	t.Helper()
	var below []adapter.Placed
	for _, p := range paths {
		a, err := adapter.LoadFor(p, w.Model.Shape())
		require.NoError(t, err)
		below = append(below, w.Placed(p, a))
	}
	meta := map[string]string{adapter.MetaRole: string(role), adapter.MetaTrainedOn: adapter.TrainedOnText(below)}
	for k, v := range more {
		meta[k] = v
	}
	return meta
}

// Said lists what a workspace would tell the user now.
func Said(w *workspace.Workspace) string {
	n := &Notes{}
	w.Tell(n)
	return strings.Join(n.Said, "\n")
}

// Notes keeps what it is told.
type Notes struct {
	train.Quiet
	Said []string
}

func (n *Notes) Note(text string) { n.Said = append(n.Said, text) }
