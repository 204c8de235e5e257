package transformer

import (
	"steer/cgo"
	"steer/ggml/family"
)

// The custom ops, numbered as in cgo/native/ops.h; a test compares the names.
const (
	opPack cgo.Op = iota
	opNorm
	opRopeTable
	opRope
	opLinear
	opLinearBack
	opLoRADown
	opLoRAUpBack
	opOuterAcc
	opLoRADownBack
	opAttn
	opAttnBack
	opRMSBack
	opSwiGLU
	opSwiGLUBack
	opHeadLogprob
	opHeadDirection
	opHeadDirectionBack
	opHeadLogprobBack
	opHeadKL
	opScalarHead
	opScalarHeadBack
	opScalarHeadGrad
	opScalarHeadGradBias
	opBias
	opScale
	opGeGLU
	opGeGLUBack
)

// Options say how a graph computes.
type Options struct {
	BF16        bool    // matrix inputs in bf16 with f32 sums; else f32 throughout
	Gradient    bool    // build the backward pass too
	Checkpoint  bool    // keep only each layer's input and compute the rest again
	Dropout     bool    // LoRA dropout on
	Entropy     bool    // entropy of each target's distribution
	EntropyGrad bool    // the backward pass takes a gradient of the entropy too
	Temperature float32 // divides the logits
}

// Batch is a ragged batch, flattened.
type Batch struct {
	Tokens []int32 // [T]
	Pos    []int32 // [T], position of each token in its sequence
	Starts []int32 // [S+1], first token of each sequence, or segment, then T
	// Parents, where sequences share beginnings, says of each segment which one, before it,
	// it goes on from; -1: a sequence begins. [S]; nil: all begin. Forward passes only.
	Parents []int32
	Rows    []int32 // [R], index of the token before each target
	Targets []int32 // [R], token ids
	Heads   []int32 // [P], index of each token whose scalar is read
	Seeds   []int32 // [2*T], dropout seed of each token, low and high half; nil without dropout
}

// Graph is the network laid out for one batch.
type Graph struct {
	g   cgo.Graph
	net *family.Network
	w   *Weights
	opt Options

	nTokens int
	// inputs
	tokens, pos, starts, rows, targets, heads, seeds cgo.Tensor
	parents                                          cgo.Tensor // none: no segment has one
	gradLogprob                                      cgo.Tensor // [2, R]: dL/dlogprob, dL/dentropy
	gradHead                                         cgo.Tensor // [P]
	// [rope dims, T], cosines and sines of every token's rotation
	tables map[turns]cgo.Tensor
	// outputs
	logprob   cgo.Tensor // [4, R]: logprob, entropy, log-sum-exp, greedy
	direction cgo.Tensor // [4+n_embd, R]: the same and d logprob / d hidden; with a gradient of logprob alone
	head      cgo.Tensor // [P]

	forwardNodes, allNodes int
}

// packed is the type of activations that matrices multiply: bf16 on the fast path.
func (g *Graph) packed() cgo.Type {
	if g.opt.BF16 {
		return cgo.BF16
	}
	return cgo.F32
}

// pack rounds x [features, T] to the type that matrices multiply.
func (g *Graph) pack(x cgo.Tensor, features int) cgo.Tensor {
	if !g.opt.BF16 {
		return x
	}
	return g.g.Custom(opPack, cgo.BF16, features, g.nTokens, false, cgo.OpArgs{}, x)
}

// Build lays out forward and, if asked for, backward pass of one batch, and
// allocates every node. Compute it with Forward, then Backward.
func Build(g cgo.Graph, net *family.Network, w *Weights, b *Batch, opt Options) (*Graph, error) {
	n, err := layOut(g, net, w, b, opt)
	if err != nil {
		return nil, err
	}
	if err := g.Alloc(); err != nil {
		return nil, err
	}
	n.fill(b)
	return n, nil
}

// Measure lays out what Build would, allocates nothing, and says what it takes.
func Measure(g cgo.Graph, net *family.Network, w *Weights, b *Batch, opt Options) (cgo.GraphUse, error) {
	if _, err := layOut(g, net, w, b, opt); err != nil {
		return cgo.GraphUse{}, err
	}
	return g.Measure()
}

func layOut(g cgo.Graph, net *family.Network, w *Weights, b *Batch, opt Options) (*Graph, error) {
	if opt.Temperature <= 0 {
		opt.Temperature = 1
	}
	n := &Graph{g: g, net: net, w: w, opt: opt, nTokens: len(b.Tokens)}
	if err := g.Begin(n.maxNodes()); err != nil {
		return nil, err
	}
	n.inputs(b)
	n.build()
	n.allNodes = g.Nodes()
	return n, nil
}

// maxNodes bounds the number of nodes generously; a tensor struct is 400 bytes.
func (g *Graph) maxNodes() int {
	pairs := 0
	for i := range g.w.Layers {
		for _, lin := range g.w.Layers[i].Linears() {
			pairs += len(lin.Pairs)
		}
	}
	return 256 + 240*len(g.w.Layers) + 24*pairs
}

func (g *Graph) inputs(b *Batch) {
	g.tokens = g.g.InputI32(len(b.Tokens), 1)
	g.pos = g.g.InputI32(len(b.Tokens), 1)
	g.starts = g.g.InputI32(len(b.Starts), 1)
	if b.Parents != nil {
		g.parents = g.g.InputI32(len(b.Parents), 1)
	}
	if len(b.Rows) > 0 {
		g.rows = g.g.InputI32(len(b.Rows), 1)
		g.targets = g.g.InputI32(len(b.Rows), 1)
	}
	if len(b.Heads) > 0 {
		g.heads = g.g.InputI32(len(b.Heads), 1)
	}
	if g.opt.Dropout {
		g.seeds = g.g.InputI32(2, len(b.Tokens))
	}
	if g.opt.Gradient {
		if len(b.Rows) > 0 {
			g.gradLogprob = g.g.InputF32(2, len(b.Rows))
		}
		if len(b.Heads) > 0 {
			g.gradHead = g.g.InputF32(len(b.Heads), 1)
		}
	}
}

// fill writes the inputs that are in use; an input no node reads has no memory.
func (g *Graph) fill(b *Batch) {
	g.tokens.SetI32(b.Tokens)
	g.pos.SetI32(b.Pos)
	g.starts.SetI32(b.Starts)
	if g.parents.OK() {
		g.parents.SetI32(b.Parents)
	}
	if g.rows.OK() {
		g.rows.SetI32(b.Rows)
		g.targets.SetI32(b.Targets)
	}
	if g.heads.OK() {
		g.heads.SetI32(b.Heads)
	}
	if g.seeds.OK() {
		g.seeds.SetI32(b.Seeds)
	}
}

// build is the network, top to bottom and back.
func (g *Graph) build() {
	layers := g.w.Layers
	x, kept := g.layers(g.w)
	hidden := g.norm(x[len(layers)], g.w.OutputNorm, cgo.F32)
	g.readHeads(hidden)
	g.forwardNodes = g.g.Nodes()
	if !g.opt.Gradient {
		return
	}

	lowest := g.lowestTrainable()
	needHidden := lowest < len(layers)
	dhidden := g.headsBack(hidden, needHidden)
	if !needHidden {
		return
	}
	dx := g.normBack(x[len(layers)], g.w.OutputNorm, dhidden)
	for i := len(layers) - 1; i >= lowest; i-- {
		st := kept[i]
		if st == nil {
			st = g.layer(&layers[i], x[i], true) // checkpointing: compute it again
		}
		dx = g.layerBack(&layers[i], st, dx, i > lowest)
	}
}

// layers runs the tokens through the stack. x[i] is the input of layer i, x[n_layer]
// the output of the last; kept is filled where the backward pass is not to compute
// a layer again.
func (g *Graph) layers(w *Weights) (x []cgo.Tensor, kept []*layerState) {
	x = make([]cgo.Tensor, len(w.Layers)+1)
	kept = make([]*layerState, len(w.Layers))
	g.layOutTurns(w.Layers)
	x[0] = g.scaled(g.g.GetRows(w.Embd, g.tokens), g.net.EmbdScale, cgo.F32)
	for i := range w.Layers {
		st := g.layer(&w.Layers[i], x[i], false)
		x[i+1] = st.out
		// The backward pass begins with the last layer: computing it again would save no memory.
		if g.opt.Gradient && (!g.opt.Checkpoint || i == len(w.Layers)-1) {
			kept[i] = st
		}
	}
	return x, kept
}

// lowestTrainable is the first layer that has anything to learn; gradients need not
// go below it.
func (g *Graph) lowestTrainable() int {
	for i := range g.w.Layers {
		if g.w.Layers[i].Trainable() {
			return i
		}
	}
	return len(g.w.Layers)
}

// Forward computes logprob [4*R] (logprob, entropy, log-sum-exp, greedy for each
// target) and head [P].
func (g *Graph) Forward() (logprob, head []float32, err error) {
	if err := g.g.Compute(0, g.forwardNodes); err != nil {
		return nil, nil, err
	}
	if g.logprob.OK() {
		logprob = make([]float32, 4*g.logprob.Shape()[1])
		g.logprob.GetF32(logprob)
	}
	if g.head.OK() {
		head = make([]float32, g.head.Shape()[0])
		g.head.GetF32(head)
	}
	return logprob, head, nil
}

// Backward takes dL/dlogprob and dL/dentropy interleaved, [2*R], and dL/dhead, [P],
// and adds the parameter gradients.
func (g *Graph) Backward(logprob, head []float32) error {
	if g.gradLogprob.OK() {
		g.gradLogprob.SetF32(logprob)
	}
	if g.gradHead.OK() {
		g.gradHead.SetF32(head)
	}
	return g.g.Compute(g.forwardNodes, g.allNodes)
}
