package ggml

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
)

// The tests of this file pin upstream mistakes: each goes red when an update of ggml
// or libllama mends one. That is good news; the note says what may then be simplified.

// ggml's allocator lets RMS_NORM_BACK take the memory of its first operand, dz, but
// the CPU kernel copies x there before it has read dz.
func TestUpstreamRMSNormBackInPlaceIsWrong(t *testing.T) {
	probeInPlace(t, "RMS_NORM_BACK", "rms_back in cgo/native/cpu could give way to ggml's op", cgo.ProbeRMSNormBack)
}

// ggml's allocator lets SOFT_MAX_BACK take the memory of its second operand, y, but
// the CPU kernel copies dy there before it has multiplied with y.
func TestUpstreamSoftMaxBackInPlaceIsWrong(t *testing.T) {
	probeInPlace(t, "SOFT_MAX_BACK", "a training graph could use ggml's op", cgo.ProbeSoftMaxBack)
}

func probeInPlace(t *testing.T, op, mended string, probe func(cgo.Device) (reused, kept float64, err error)) {
	t.Helper()
	dev, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer dev.Close()
	var reused, kept float64
	require.NoError(t, dev.do(func() error {
		var err error
		reused, kept, err = probe(dev.native)
		return err
	}))
	t.Logf("%s: relative error %.2g with an operand's memory reused, %.1g without", op, reused, kept)
	require.Less(t, kept, 1e-5, "%s is right when nothing is reused: else the probe itself is wrong", op)
	require.Greater(t, reused, 0.1, "%s no longer computes garbage in place: upstream mended it, %s", op, mended)
}

// libllama reuses its graph without comparing the list of adapters: an adapter set,
// or cleared, after a decode of the same shape is silently ignored.
func TestUpstreamIgnoresAChangedAdapter(t *testing.T) {
	t.Setenv("LLAMA_GRAPH_REUSE_DISABLE", "0")
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, adapter.Targets(), 2, false), false)
	var before, setAfter, clearAfter float64
	probe := func() {
		require.NoError(t, m.dev.do(func() error {
			var err error
			before, setAfter, clearAfter, err = cgo.ProbeAdapterChange(m.dev.native, m.native, l.native)
			return err
		}))
		t.Logf("largest change of a logit: attached before %.3g, set after %.3g, cleared after %.3g", before, setAfter,
			clearAfter)
		require.Greater(t, before, 0.1, "an adapter attached before the first decode works")
	}
	probe()
	const mended = "upstream mended it: sessions could share one context and change adapters"
	require.Zero(t, setAfter, mended)
	require.Zero(t, clearAfter, mended)

	t.Setenv("LLAMA_GRAPH_REUSE_DISABLE", "1")
	probe()
	require.Equal(t, before, setAfter, "without graph reuse the change is seen: graph reuse it is")
	require.Equal(t, before, clearAfter)
}
