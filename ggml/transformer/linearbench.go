package transformer

import (
	"time"

	"steer/cgo"
)

// LinearBench is a graph of frozen products alone, to measure their speed.
type LinearBench struct {
	g                  cgo.Graph
	x, dy              cgo.Tensor
	first, mid, behind int // nodes: packing, then forward products, then backward ones
}

// NewLinearBench lays out y = W x and dx = Wᵀ dy for each of the weights, all [nIn,
// nOut], with x [nIn, rows] and dy [nOut, rows] as the network hands them over: packed
// to bf16, or f32.
func NewLinearBench(g cgo.Graph, weights []cgo.Tensor, nIn, nOut, rows int, bf16 bool) (*LinearBench, error) {
	if err := g.Begin(64 + 4*len(weights)); err != nil {
		return nil, err
	}
	b := &LinearBench{g: g, x: g.InputF32(nIn, rows), dy: g.InputF32(nOut, rows)}
	x, dy := b.x, b.dy
	if bf16 {
		x = g.Custom(opPack, cgo.BF16, nIn, rows, false, cgo.OpArgs{}, x)
		dy = g.Custom(opPack, cgo.BF16, nOut, rows, false, cgo.OpArgs{}, dy)
	}
	g.Keep(x) // read in every round
	g.Keep(dy)
	b.first = g.Nodes()
	for _, w := range weights {
		g.Custom(opLinear, cgo.F32, nOut, rows, false, cgo.OpArgs{}, w, x)
	}
	b.mid = g.Nodes()
	for _, w := range weights {
		g.Custom(opLinearBack, cgo.F32, nIn, rows, false, cgo.OpArgs{}, w, dy)
	}
	b.behind = g.Nodes()
	if err := g.Alloc(); err != nil {
		return nil, err
	}
	b.x.SetF32(ramp(nIn * rows))
	b.dy.SetF32(ramp(nOut * rows))
	return b, g.Compute(0, b.first)
}

// Run computes all forward, then all backward products once and returns the time of each.
func (b *LinearBench) Run() (forward, backward time.Duration, err error) {
	start := time.Now()
	if err := b.g.Compute(b.first, b.mid); err != nil {
		return 0, 0, err
	}
	forward = time.Since(start)
	start = time.Now()
	err = b.g.Compute(b.mid, b.behind)
	return forward, time.Since(start), err
}

// ramp is n values from -1 to 1; speed does not depend on them.
func ramp(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%255)/127 - 1
	}
	return x
}
