package cgo

// #include "steer.h"
import "C"

// Graph builds and runs one training graph at a time; its memory is reused.
type Graph struct{ p *C.steer_graph }

// NewGraph returns an empty graph on a device.
func NewGraph(d Device) (g Graph, err error) {
	err = call(func(e *C.char, n C.size_t) C.int { return C.steer_graph_new(d.p, &g.p, e, n) })
	return g, err
}

// Free releases the graph and its scratch memory.
func (g Graph) Free() { C.steer_graph_free(g.p) }

// Begin drops the old graph and starts one of at most maxNodes nodes.
func (g Graph) Begin(maxNodes int) error {
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_graph_begin(g.p, C.int32_t(maxNodes), e, n) })
}

// Alloc gives every node its memory, or reports the first mistake made in building.
func (g Graph) Alloc() error {
	return call(func(e *C.char, n C.size_t) C.int { return C.steer_graph_alloc(g.p, e, n) })
}

// Nodes is the number of nodes so far.
func (g Graph) Nodes() int { return int(C.steer_graph_nodes(g.p)) }

// Bytes is the scratch memory held.
func (g Graph) Bytes() int64 { return int64(C.steer_graph_bytes(g.p)) }

// Compute runs nodes from <= i < to.
func (g Graph) Compute(from, to int) error {
	return call(func(e *C.char, n C.size_t) C.int {
		return C.steer_graph_compute(g.p, C.int32_t(from), C.int32_t(to), e, n)
	})
}

// OpTime is the time spent in one kind of op.
type OpTime struct {
	Op      string
	Count   int64
	Seconds float64
}

// Profile switches timing of every node on or off and forgets what was measured.
func (g Graph) Profile(on bool) { C.steer_graph_profile(g.p, C.bool(on)) }

// ProfileTimes is what was measured since profiling was switched on, by op.
func (g Graph) ProfileTimes() []OpTime {
	var buf [128]C.steer_op_time
	n := min(int(C.steer_graph_profile_read(g.p, &buf[0], C.int32_t(len(buf)))), len(buf))
	out := make([]OpTime, n)
	for i := range out {
		out[i] = OpTime{C.GoString(&buf[i].op[0]), int64(buf[i].count), float64(buf[i].seconds)}
	}
	return out
}

// InputF32 is an f32 input [ne0, ne1], set before Compute.
func (g Graph) InputF32(ne0, ne1 int) Tensor {
	return Tensor{C.steer_input(g.p, C.STEER_F32, C.int64_t(ne0), C.int64_t(ne1))}
}

// InputI32 is an i32 input [ne0, ne1], set before Compute.
func (g Graph) InputI32(ne0, ne1 int) Tensor {
	return Tensor{C.steer_input(g.p, C.STEER_I32, C.int64_t(ne0), C.int64_t(ne1))}
}

// Keep makes t readable after Compute.
func (g Graph) Keep(t Tensor) { C.steer_keep(t.p) }

// View2D is rows [off, off+ne0) of every column: [ne0, ne1].
func (g Graph) View2D(a Tensor, ne0, ne1, off int) Tensor {
	return Tensor{C.steer_view2d(g.p, a.p, C.int64_t(ne0), C.int64_t(ne1), C.int64_t(off))}
}

// GetRows looks up rows of table [n, V] by ids [T]: [n, T], f32.
func (g Graph) GetRows(table, ids Tensor) Tensor {
	return Tensor{C.steer_get_rows(g.p, table.p, ids.p)}
}

// Cont is a contiguous copy of a, which may be a view.
func (g Graph) Cont(a Tensor) Tensor { return Tensor{C.steer_cont(g.p, a.p)} }

// Add is a + b.
func (g Graph) Add(a, b Tensor) Tensor { return Tensor{C.steer_add(g.p, a.p, b.p)} }

// Type of a custom op's result.
type Type int

// Result types.
const (
	F32  Type = C.STEER_F32
	BF16 Type = C.STEER_BF16
)

// Op is a custom op; the numbers are those of native/ops.h.
type Op int

// OpArgs are a custom op's scalars; their meaning is documented op by op in native/ops.h.
type OpArgs struct {
	F [4]float32
	I [6]int32
}

// Custom adds a custom op with result [ne0, ne1]; inplace makes it a view of src[0].
func (g Graph) Custom(op Op, typ Type, ne0, ne1 int, inplace bool, args OpArgs, src ...Tensor) Tensor {
	var operands [10]*C.steer_tensor
	for i, t := range src {
		operands[i] = t.p
	}
	var a C.steer_op_args
	for i, v := range args.F {
		a.f[i] = C.float(v)
	}
	for i, v := range args.I {
		a.i[i] = C.int32_t(v)
	}
	return Tensor{C.steer_custom(g.p, C.int(op), C.int(typ), C.int64_t(ne0), C.int64_t(ne1), C.bool(inplace),
		&operands[0], C.int32_t(len(src)), &a)}
}

// String is the op's name, the same on every device.
func (op Op) String() string { return C.GoString(C.steer_op_name(C.int(op))) }
