package ggml

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/crash"
)

// A panic on the engine goroutine is one of the goroutine that asked, and the engine goes on:
// what is closed on the way out still can be.
func TestAPanicOnTheEngineIsTheCallers(t *testing.T) {
	dev, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	p := crash.Catch(func() {
		_ = dev.do(func() error { panic("a bug") })
	})
	require.EqualError(t, p, "a bug")
	require.Contains(t, string(p.Stack), "TestAPanicOnTheEngineIsTheCallers")
	require.NotEmpty(t, dev.Kernel())
	require.NoError(t, dev.Close())
}
