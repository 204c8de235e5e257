package transformer

import (
	"steer/cgo"
	"steer/ggml/family"
)

// KL computes, at each target's row r of a batch, the exact divergence between the
// next-token distributions of two stacks of adapters on the same model:
//
//	KL_r = Σ_v p(v) (log p(v) - log q(v)),  p = softmax(Wout h_r / T), q likewise from the other stack
//
// [R], nats. The logits never exist at once: both are walked through panel by panel.
func KL(g cgo.Graph, net *family.Network, policy, reference *Weights, b *Batch, opt Options) ([]float32, error) {
	n, kl, err := layOutKL(g, net, policy, reference, b, opt)
	if err != nil {
		return nil, err
	}
	if err := g.Alloc(); err != nil {
		return nil, err
	}
	n.fill(b)
	if err := g.Compute(0, g.Nodes()); err != nil {
		return nil, err
	}
	out := make([]float32, len(b.Rows))
	kl.GetF32(out)
	return out, nil
}

// MeasureKL lays out what KL would, allocates nothing, and says what it takes.
func MeasureKL(
	g cgo.Graph, net *family.Network, policy, reference *Weights, b *Batch, opt Options,
) (cgo.GraphUse, error) {
	if _, _, err := layOutKL(g, net, policy, reference, b, opt); err != nil {
		return cgo.GraphUse{}, err
	}
	return g.Measure()
}

func layOutKL(
	g cgo.Graph, net *family.Network, policy, reference *Weights, b *Batch, opt Options,
) (n *Graph, kl cgo.Tensor, err error) {
	if opt.Temperature <= 0 {
		opt.Temperature = 1
	}
	opt.Gradient, opt.Dropout = false, false
	n = &Graph{g: g, net: net, w: policy, opt: opt, nTokens: len(b.Tokens)}
	r := &Graph{w: reference}
	if err := g.Begin(n.maxNodes() + r.maxNodes()); err != nil {
		return nil, kl, err
	}
	n.inputs(b)
	x, _ := n.layers(policy)
	p := n.norm(x[len(x)-1], policy.OutputNorm, cgo.F32)
	x, _ = n.layers(reference)
	q := n.norm(x[len(x)-1], reference.OutputNorm, cgo.F32)
	kl = g.Custom(opHeadKL, cgo.F32, len(b.Rows), 1, false, n.headArgs(), policy.Output, p, q, n.rows)
	g.Keep(kl)
	return n, kl, nil
}
