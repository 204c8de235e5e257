package cgo

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain keeps the tests on one thread, as the engine does, and checks that
// nothing is left behind.
func TestMain(m *testing.M) {
	runtime.LockOSThread()
	code := m.Run()
	if n := Alive(); n != 0 && code == 0 {
		println("native objects still alive after all tests:", n)
		code = 1
	}
	os.Exit(code)
}

func newGraph(t *testing.T) Graph {
	t.Helper()
	runtime.LockOSThread()
	d, err := NewDevice(DeviceParams{Name: "cpu", Threads: 1})
	require.NoError(t, err)
	g, err := NewGraph(d)
	require.NoError(t, err)
	t.Cleanup(func() { g.Free(); d.Free(); runtime.UnlockOSThread() })
	return g
}

// A mistake in building a graph, on which ggml would end the process, is an error
// that names operation and shapes; the next graph is not harmed.
func TestGraphMistakes(t *testing.T) {
	g := newGraph(t)
	in := func(ne0, ne1 int) Tensor { return g.InputF32(ne0, ne1) }
	ids := func(n int) Tensor { return g.InputI32(n, 1) }
	for _, c := range []struct {
		name  string
		build func()
		want  []string
	}{
		{"an empty input", func() { in(0, 3) }, []string{"input: empty shape [0, 3]"}},
		{"add", func() { g.Add(in(3, 4), in(4, 3)) }, []string{"add: operands do not fit", "f32 [3, 4]", "f32 [4, 3]"}},
		{"add of nothing", func() { g.Add(in(3, 4), Tensor{}) }, []string{"add: an operand is missing"}},
		{"copy of integers", func() { g.Cont(ids(3)) }, []string{"cont", "i32 [3]"}},
		{"look-up by numbers that are none", func() { g.GetRows(in(3, 4), in(2, 1)) }, []string{"get_rows"}},
		{"a view too wide", func() { g.View2D(in(6, 4), 4, 4, 3) }, []string{"view2d"}},
		{"a view too long", func() { g.View2D(in(6, 4), 3, 5, 0) }, []string{"view2d"}},
		{"a view before the start", func() { g.View2D(in(6, 4), 3, 4, -1) }, []string{"view2d"}},
		{"no such op", func() { g.Custom(99, F32, 3, 4, false, OpArgs{}, in(3, 4)) },
			[]string{"no custom op number 99"}},
		{"an op without operands", func() { g.Custom(0, F32, 3, 4, false, OpArgs{}) },
			[]string{"pack: wrong number of operands"}},
		{"an op on nothing", func() { g.Custom(0, BF16, 3, 4, false, OpArgs{}, Tensor{}) },
			[]string{"pack: an operand is missing"}},
		{"an empty result", func() { g.Custom(0, BF16, 0, 4, false, OpArgs{}, in(3, 4)) },
			[]string{"pack", "empty result"}},
		{"the first mistake is the one reported", func() { g.Add(g.Add(in(1, 2), in(2, 1)), in(1, 1)) },
			[]string{"add: operands do not fit"}},
		{"more nodes than were asked for", func() {
			x := in(3, 4)
			for range 100 {
				x = g.Add(x, x)
			}
		}, []string{"more than 64 nodes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, g.Begin(64))
			c.build()
			err := g.Alloc()
			t.Log(err)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.Error(t, g.Compute(0, 1), "what was not allocated does not run")
		})
	}
	require.NoError(t, g.Begin(64))
	a, b := in(2, 2), in(2, 2)
	sum := g.Add(a, b)
	g.Keep(sum)
	require.NoError(t, g.Alloc())
	a.SetF32([]float32{1, 2, 3, 4})
	b.SetF32([]float32{10, 20, 30, 40})
	require.Error(t, g.Compute(0, g.Nodes()+1))
	require.Error(t, g.Compute(2, 1))
	require.Error(t, g.Compute(-1, 1))
	require.NoError(t, g.Compute(0, g.Nodes()))
	out := make([]float32, 4)
	sum.GetF32(out)
	require.Equal(t, []float32{11, 22, 33, 44}, out)
}

// Every custom op refuses operands that are not its own, by name.
func TestCustomOpsCheckTheirOperands(t *testing.T) {
	g := newGraph(t)
	ops := 0
	for op := Op(0); op.String() != "?"; op++ {
		ops++
		for _, inplace := range []bool{false, true} {
			for n := 1; n <= 8; n++ { // each with a width of its own: no two fit together
				require.NoError(t, g.Begin(64))
				var src []Tensor
				for i := range n {
					src = append(src, g.InputF32(3+2*i, 5+i))
				}
				g.Custom(op, F32, 41, 43, inplace, OpArgs{}, src...)
				require.ErrorContains(t, g.Alloc(), op.String()+": operands do not fit", "%s of %d operands", op, n)
			}
		}
	}
	require.Equal(t, 28, ops)
}

// Parents of segments are the forward pass's alone, one for each segment.
func TestAttentionOverSegments(t *testing.T) {
	const attn, attnBack = Op(10), Op(11)
	require.Equal(t, "attn", attn.String())
	require.Equal(t, "attn_back", attnBack.String())
	g := newGraph(t)
	args := OpArgs{F: [4]float32{1}, I: [6]int32{2, 1, 1}} // one head of two features
	build := func(op Op, features, parents int) error {
		require.NoError(t, g.Begin(64))
		in := func(ne0 int) Tensor { return g.InputF32(ne0, 4) }
		src := []Tensor{in(2), in(2), in(2)}
		if op == attnBack {
			src = append(src, in(2), in(3))
		}
		src = append(src, g.InputI32(3, 1), g.InputI32(parents, 1)) // two segments
		g.Keep(g.Custom(op, F32, features, 4, false, args, src...))
		return g.Alloc()
	}
	require.NoError(t, build(attn, 3, 2))
	require.ErrorContains(t, build(attn, 3, 1), "attn: operands do not fit")
	require.ErrorContains(t, build(attnBack, 6, 2), "attn_back: operands do not fit")
}
