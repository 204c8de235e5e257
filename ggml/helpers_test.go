package ggml

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
)

// TestMain checks that no test left a native object behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := Alive(); n != 0 && code == 0 {
		println("native objects still alive after all tests:", n)
		code = 1
	}
	os.Exit(code)
}

// open loads a model on a device of its own; both are closed with the test.
func open(t testing.TB, path string) *Model {
	t.Helper()
	dev, err := OpenDevice(testDevice(t, 0))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close()) })
	m, err := LoadModel(dev, path, ModelOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// live puts an adapter on the model until the end of the test.
func live(t testing.TB, m *Model, a *adapter.Adapter, trainable bool) *Adapter {
	t.Helper()
	l, err := m.NewAdapter(a, trainable)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// step builds a Step until the end of the test.
func step(t testing.TB, m *Model, opt StepOptions) *Step {
	t.Helper()
	s, err := m.NewStep(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// all asks for every target of a sequence.
func all(tokens []int32) lm.Sequence {
	q := lm.Sequence{Tokens: tokens}
	for i := 1; i < len(tokens); i++ {
		q.Targets = append(q.Targets, int32(i))
	}
	return q
}

func forward(t testing.TB, s *Step, batch []lm.Sequence, opt lm.Options) *lm.Output {
	t.Helper()
	out, err := s.Forward(context.Background(), batch, opt)
	require.NoError(t, err)
	return out
}

// maxMean returns the largest and the mean absolute difference.
func maxMean(a, b []float32) (largest, mean float64) {
	for i := range a {
		d := float64(a[i] - b[i])
		if d < 0 {
			d = -d
		}
		largest = max(largest, d)
		mean += d
	}
	if len(a) > 0 {
		mean /= float64(len(a))
	}
	return largest, mean
}
