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

// View3D reads [ne0*ne1, T] as [ne0, ne1, T].
func (g Graph) View3D(a Tensor, ne0, ne1 int) Tensor {
	return Tensor{C.steer_view3d(g.p, a.p, C.int64_t(ne0), C.int64_t(ne1))}
}

// Flat reads a contiguous [a, b, T] as [a*b, T].
func (g Graph) Flat(a Tensor) Tensor { return Tensor{C.steer_flat(g.p, a.p)} }

// GetRows looks up rows of table [n, V] by ids [T]: [n, T], f32.
func (g Graph) GetRows(table, ids Tensor) Tensor {
	return Tensor{C.steer_get_rows(g.p, table.p, ids.p)}
}

// Add is a + b.
func (g Graph) Add(a, b Tensor) Tensor { return Tensor{C.steer_add(g.p, a.p, b.p)} }

// Mul is a * b, elementwise, b repeated over columns.
func (g Graph) Mul(a, b Tensor) Tensor { return Tensor{C.steer_mul(g.p, a.p, b.p)} }

// RMSNorm is a / sqrt(mean(a²) + eps) per column.
func (g Graph) RMSNorm(a Tensor, eps float32) Tensor {
	return Tensor{C.steer_rms_norm(g.p, a.p, C.float(eps))}
}

// SwiGLU is silu(gate) * up.
func (g Graph) SwiGLU(gate, up Tensor) Tensor { return Tensor{C.steer_swiglu(g.p, gate.p, up.p)} }

// RopeParams are the parameters of a rotary embedding, as ggml_rope_ext takes them.
type RopeParams struct {
	Dims, Mode, CtxOrig                                            int
	FreqBase, FreqScale, ExtFactor, AttnFactor, BetaFast, BetaSlow float32
}

// Rope rotates a [dim, heads, T] by pos [T]; back applies the transpose. freqs may be none.
func (g Graph) Rope(a, pos, freqs Tensor, p RopeParams, back bool) Tensor {
	c := C.steer_rope_params{
		n_dims: C.int32_t(p.Dims), mode: C.int32_t(p.Mode), n_ctx_orig: C.int32_t(p.CtxOrig),
		freq_base: C.float(p.FreqBase), freq_scale: C.float(p.FreqScale), ext_factor: C.float(p.ExtFactor),
		attn_factor: C.float(p.AttnFactor), beta_fast: C.float(p.BetaFast), beta_slow: C.float(p.BetaSlow),
	}
	return Tensor{C.steer_rope(g.p, a.p, pos.p, freqs.p, &c, C.bool(back))}
}

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
	return Tensor{C.steer_custom(g.p, C.int(op), C.int(typ), C.int64_t(ne0), C.int64_t(ne1), C.bool(inplace), &operands[0], C.int32_t(len(src)), &a)}
}

// String is the op's name, the same on every device.
func (op Op) String() string { return C.GoString(C.steer_op_name(C.int(op))) }
