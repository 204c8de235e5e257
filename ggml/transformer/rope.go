package transformer

import (
	"steer/cgo"
	"steer/ggml/family"
)

// turns is a table of rotations: a layer's keys, and mostly its queries, read one of them.
type turns struct {
	rope    family.Rope
	growing bool // queries that grow with their position
}

// rotations is the cosines and sines of every token's rotation, [dims, T], made once.
func (g *Graph) rotations(t turns) cgo.Tensor {
	if table, ok := g.tables[t]; ok {
		return table
	}
	r := &t.rope
	operands := []cgo.Tensor{g.pos}
	if r.Factors != "" {
		operands = append(operands, g.w.Factors)
	}
	args := cgo.OpArgs{F: [4]float32{r.Base, r.Scale, r.Magnitude}}
	if r.Yarn {
		args.I[0], args.I[1], args.I[2] = 1, int32(r.Low), int32(r.High)
	}
	if t.growing {
		args.F[3], args.I[3] = g.net.QueryGrowth, int32(g.net.QueryFloor)
	}
	table := g.g.Custom(opRopeTable, cgo.F32, r.Dims, g.nTokens, false, args, operands...)
	if g.tables == nil {
		g.tables = map[turns]cgo.Tensor{}
	}
	g.tables[t] = table
	return table
}

// layOutTurns makes the tables that layers will read: they are used again in the backward pass.
func (g *Graph) layOutTurns(layers []Layer) {
	for i := range layers {
		for _, query := range []bool{true, false} {
			if t, ok := g.turnsOf(&layers[i], query); ok {
				g.rotations(t)
			}
		}
	}
}

// turnsOf says how a layer turns its queries or keys; ok is false where it does not.
func (g *Graph) turnsOf(l *Layer, query bool) (t turns, ok bool) {
	t.rope = g.net.Rope
	if l.Window > 0 {
		t.rope = g.net.WindowRope
	}
	t.growing = query && g.net.QueryGrowth != 0
	return t, l.Rope
}

// rope rotates pairs of features by their token's position (Su et al. 2021); the
// backward pass of a rotation is the rotation back. A magnitude other than 1 multiplies both ways.
func (g *Graph) rope(x cgo.Tensor, heads int, t turns, typ cgo.Type, back bool) cgo.Tensor {
	return g.g.Custom(opRope, typ, g.net.HeadDim*heads, g.nTokens, false, g.ropeArgs(t, back), x, g.rotations(t))
}

// ropeBackInto rotates x back in place.
func (g *Graph) ropeBackInto(x cgo.Tensor, heads int, t turns) {
	g.g.Custom(opRope, cgo.F32, g.net.HeadDim*heads, g.nTokens, true, g.ropeArgs(t, true), x, g.rotations(t))
}

func (g *Graph) ropeArgs(t turns, back bool) cgo.OpArgs {
	mode := int32(0)
	if t.rope.Halves {
		mode = 2
	}
	return cgo.OpArgs{I: [6]int32{int32(g.net.HeadDim), mode, b2i(back)}}
}
