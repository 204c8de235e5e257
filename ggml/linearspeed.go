package ggml

import (
	"fmt"
	"time"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/transformer"
)

// LinearSpeed is how fast the frozen matrices of one shape and type are multiplied.
type LinearSpeed struct {
	Targets  []string // "attn_q", ...: who has this shape and type
	Type     string   // "q4_1"
	NIn      int
	NOut     int
	Rows     int
	Forward  float64 // floating point operations a second, y = W x
	Backward float64 // dx = Wᵀ dy
}

// Matrices multiplied one after the other: enough that they come from memory, as in a
// training step, and not from the cache.
const (
	linearsAtOnce       = 32
	linearsBytes  int64 = 256 << 20
)

// LinearSpeeds measures the kernels of the frozen linear layers at a number of rows (tokens),
// without LoRA: the best of several rounds for each shape and type of the model.
func (m *Model) LinearSpeeds(rows int, p Precision) ([]LinearSpeed, error) {
	if rows < 1 {
		return nil, fmt.Errorf("linear speeds: rows: want at least 1, got %d", rows)
	}
	if err := m.refuseUntrainable(); err != nil {
		return nil, fmt.Errorf("linear speeds: %w", err)
	}
	var out []LinearSpeed
	err := m.do(func() error {
		m.owner = nil // the scratch graph is taken over
		for _, group := range linearGroups(m.weights()) {
			s, err := m.linearSpeed(group, rows, p != F32)
			if err != nil {
				return err
			}
			out = append(out, s)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("linear speeds: %w", err)
	}
	return out, nil
}

// linearGroup is the matrices of one shape and type.
type linearGroup struct {
	speed   LinearSpeed
	weights []cgo.Tensor
	bytes   int64
}

func linearGroups(w *transformer.Weights) []*linearGroup {
	var groups []*linearGroup
	for i := range w.Layers {
		linears := w.Layers[i].Linears()
		for _, target := range adapter.AllTargets() {
			lin, ok := linears[target]
			if !ok {
				continue
			}
			g := findGroup(&groups, lin)
			if n := len(g.speed.Targets); n == 0 || g.speed.Targets[n-1] != target {
				g.addTarget(target)
			}
			if len(g.weights) < linearsAtOnce && g.bytes < linearsBytes {
				g.weights = append(g.weights, lin.W)
				g.bytes += lin.W.Bytes()
			}
		}
	}
	return groups
}

func findGroup(groups *[]*linearGroup, lin *transformer.Linear) *linearGroup {
	typ := lin.W.Type()
	for _, g := range *groups {
		if g.speed.Type == typ && g.speed.NIn == lin.NIn && g.speed.NOut == lin.NOut {
			return g
		}
	}
	g := &linearGroup{speed: LinearSpeed{Type: typ, NIn: lin.NIn, NOut: lin.NOut}}
	*groups = append(*groups, g)
	return g
}

func (g *linearGroup) addTarget(target string) {
	for _, t := range g.speed.Targets {
		if t == target {
			return
		}
	}
	g.speed.Targets = append(g.speed.Targets, target)
}

func (m *Model) linearSpeed(g *linearGroup, rows int, bf16 bool) (LinearSpeed, error) {
	s := g.speed
	s.Rows = rows
	b, err := transformer.NewLinearBench(m.scratch, g.weights, s.NIn, s.NOut, rows, bf16)
	if err != nil {
		return s, err
	}
	flop := 2 * float64(s.NIn) * float64(s.NOut) * float64(rows) * float64(len(g.weights))
	for start, round := time.Now(), 0; round < 3 || round < 50 && time.Since(start) < time.Second/2; round++ {
		forward, backward, err := b.Run()
		if err != nil {
			return s, err
		}
		s.Forward = max(s.Forward, flop/forward.Seconds())
		s.Backward = max(s.Backward, flop/backward.Seconds())
	}
	return s, nil
}
