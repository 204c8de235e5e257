package traintest

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
)

var batch = []lm.Sequence{
	{Tokens: []int32{0, 5, 7, 9, 3}, Targets: []int32{1, 2, 4}, Heads: []int32{0, 4}, DropoutSeed: 3},
	{Tokens: []int32{2, 2, 8}, Targets: []int32{2}, Heads: []int32{2}, DropoutSeed: 4},
}

// loss is an arbitrary smooth function of every output with known weights.
func loss(out *lm.Output) (float64, lm.Gradient) {
	g := lm.Gradient{}
	sum := 0.0
	for s := range out.Logprobs {
		var lp, ent, head []float32
		for k := range out.Logprobs[s] {
			wl, we := float32(k+1)*0.3-1, 0.2+float32(s)*0.1
			sum += float64(wl)*float64(out.Logprobs[s][k]) + float64(we)*float64(out.Entropy[s][k])
			lp, ent = append(lp, wl), append(ent, we)
		}
		for k := range out.Heads[s] {
			wh := float32(k) + 0.5
			sum += float64(wh) * float64(out.Heads[s][k])
			head = append(head, wh)
		}
		g.Logprobs, g.Entropy, g.Heads = append(g.Logprobs, lp), append(g.Entropy, ent), append(g.Heads, head)
	}
	return sum, g
}

func TestGradientMatchesFiniteDifferences(t *testing.T) {
	ctx := context.Background()
	toy := New(Config{Vocab: 11, Seed: 5, Dropout: 0.3})
	opt := lm.Options{Gradient: true, Entropy: true, Dropout: true, Temperature: 0.7}
	for k := range toy.params { // leave the point where B and the head are zero
		for i := range toy.params[k].Data {
			toy.params[k].Data[i] += float32(math.Sin(float64(7*k+i))) * 0.3
		}
	}
	out, err := toy.Forward(ctx, batch, opt)
	require.NoError(t, err)
	_, g := loss(out)
	require.NoError(t, toy.Backward(g))
	grads := toy.Grads()
	at := func() float64 {
		out, err := toy.Forward(ctx, batch, opt)
		require.NoError(t, err)
		l, _ := loss(out)
		return l
	}
	const eps = 1.0 / 1024
	for k, p := range toy.params {
		for i := range p.Data {
			x := p.Data[i]
			p.Data[i] = x + eps
			up := at()
			p.Data[i] = x - eps
			down := at()
			p.Data[i] = x
			require.InDelta(t, (up-down)/(2*eps), grads[k][i], 1e-3*(1+math.Abs(grads[k][i])), "%s[%d]", p.Name, i)
		}
	}
}

func TestStateRoundTripGoesOnBitForBit(t *testing.T) {
	ctx := context.Background()
	step := func(toy *Toy) {
		out, err := toy.Forward(ctx, batch, lm.Options{Gradient: true, Entropy: true})
		require.NoError(t, err)
		_, g := loss(out)
		require.NoError(t, toy.Backward(g))
		_, err = toy.Update(lm.Update{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1})
		require.NoError(t, err)
	}
	straight := New(Config{Vocab: 11})
	for range 6 {
		step(straight)
	}
	first := New(Config{Vocab: 11})
	for range 3 {
		step(first)
	}
	st, err := first.State()
	require.NoError(t, err)
	second := New(Config{Vocab: 11})
	require.NoError(t, second.SetState(st))
	for range 3 {
		step(second)
	}
	want, _ := straight.State()
	got, _ := second.State()
	require.Equal(t, want, got)
}

func TestLetters(t *testing.T) {
	ids, err := Letters{}.Encode("Hi, ä</s>", true, true)
	require.NoError(t, err)
	require.Equal(t, int32(1), ids[len(ids)-1])
	require.Equal(t, "<s>hi, ??</s>", Letters{}.Decode(ids, true))
	require.Equal(t, "hi, ??", Letters{}.Decode(ids, false))
}

func TestGenerateStops(t *testing.T) {
	toy := New(Config{Seed: 1})
	reqs := []lm.Request{{Prompt: []int32{0, 4}, MaxNew: 40, Seed: 9, StopTokens: []int32{1}},
		{Prompt: []int32{0}, MaxNew: 3, Seed: 9}}
	a, err := toy.Generate(context.Background(), reqs, lm.Sampling{Temperature: 1})
	require.NoError(t, err)
	b, err := toy.Generate(context.Background(), reqs, lm.Sampling{Temperature: 1})
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Len(t, a[1].Tokens, 3)
	require.Equal(t, lm.FinishLength, a[1].Finish)
}
