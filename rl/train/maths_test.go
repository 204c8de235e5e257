package train

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
)

// Values by hand from the formulas of transformers' schedules (lr_lambda).
func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		s           LRSchedule
		step, total int64
		want        float64
	}{
		{LRSchedule{}, 7, 10, 1},
		{LRSchedule{Schedule: Constant, WarmupSteps: 4}, 0, 10, 0},
		{LRSchedule{Schedule: Constant, WarmupSteps: 4}, 1, 10, 0.25},
		{LRSchedule{Schedule: Constant, WarmupSteps: 4, MinRatio: 0.5}, 4, 10, 1},
		{LRSchedule{Schedule: Linear}, 0, 10, 1},
		{LRSchedule{Schedule: Linear}, 9, 10, 0.1},
		{LRSchedule{Schedule: Linear, WarmupSteps: 2}, 6, 10, 0.5},
		{LRSchedule{Schedule: Linear, WarmupSteps: 2, MinRatio: 0.2}, 6, 10, 0.6},
		{LRSchedule{Schedule: Cosine}, 0, 8, 1},
		{LRSchedule{Schedule: Cosine}, 2, 8, (1 + math.Sqrt2/2) / 2},
		{LRSchedule{Schedule: Cosine}, 4, 8, 0.5},
		{LRSchedule{Schedule: Cosine, WarmupSteps: 100}, 50, 5000, 0.5},
		{LRSchedule{Schedule: Cosine, WarmupSteps: 100}, 2550, 5000, 0.5},
		{LRSchedule{Schedule: Cosine, MinRatio: 0.1}, 8, 8, 0.1},
		{LRSchedule{Schedule: Cosine}, 20, 8, 0},                // never beyond the end
		{LRSchedule{Schedule: Linear, WarmupSteps: 5}, 5, 5, 1}, // warm-up only
	} {
		require.InDelta(t, c.want, c.s.Ratio(c.step, c.total), 1e-12, "%+v at %d/%d", c.s, c.step, c.total)
	}
}

func TestOptim(t *testing.T) {
	o := Optim{LR: 2e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.05, MaxGradNorm: 1,
		LRSchedule: LRSchedule{Schedule: Linear}}
	require.NoError(t, o.Validate("sft.optim"))
	require.Equal(t, lm.Update{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.05, MaxGradNorm: 1},
		o.At(5, 10))
	for field, bad := range map[string]func(*Optim){
		"lr":            func(o *Optim) { o.LR = 0 },
		"beta1":         func(o *Optim) { o.Beta1 = 1 },
		"beta2":         func(o *Optim) { o.Beta2 = -1 },
		"eps":           func(o *Optim) { o.Eps = 0 },
		"weight_decay":  func(o *Optim) { o.WeightDecay = math.NaN() },
		"max_grad_norm": func(o *Optim) { o.MaxGradNorm = math.Inf(1) },
		"warmup_steps":  func(o *Optim) { o.WarmupSteps = -2 },
		"min_ratio":     func(o *Optim) { o.MinRatio = 1.1 },
	} {
		c := o
		bad(&c)
		require.ErrorContains(t, c.Validate("sft.optim"), "sft.optim."+field+": want ")
	}
}

func TestCheckDivides(t *testing.T) {
	require.NoError(t, CheckDivides("mini_batch_size", 8, "micro_batch_size", 2))
	require.EqualError(t, CheckDivides("mini_batch_size", 8, "micro_batch_size", 3),
		"mini_batch_size 8 does not divide by micro_batch_size 3: choose one of [1 2 4 8]")
	require.ErrorContains(t, CheckDivides("a", 0, "b", 1), "a: want at least 1")
	require.ErrorContains(t, CheckDivides("a", 1, "b", -1), "b: want at least 1")
}

func TestMicro(t *testing.T) {
	require.Equal(t, [][]int{{1, 2}, {3, 4}, {5}}, Micro([]int{1, 2, 3, 4, 5}, 2))
	require.Empty(t, Micro([]int{}, 2))
	seqs := func(lens ...int) (out []lm.Sequence) {
		for _, n := range lens {
			out = append(out, lm.Sequence{Tokens: make([]int32, n)})
		}
		return out
	}
	var got [][]int
	for _, part := range MicroByTokens(seqs(3, 4, 9, 1, 1, 6), 8) {
		var lens []int
		for _, s := range part {
			lens = append(lens, len(s.Tokens))
		}
		got = append(got, lens)
	}
	require.Equal(t, [][]int{{3, 4}, {9}, {1, 1, 6}}, got)
	require.Len(t, MicroByTokens(seqs(1, 1), 0), 2)
}

func TestCheckFinite(t *testing.T) {
	require.NoError(t, CheckFinite(3, "loss", 1))
	for _, x := range []float64{math.NaN(), math.Inf(-1)} {
		err := CheckFinite(3, "loss", x)
		require.ErrorIs(t, err, ErrDiverged)
		require.ErrorContains(t, err, "step 3: loss is ")
	}
}

func TestLoRA(t *testing.T) {
	l := LoRA{Rank: 16, Alpha: 32, Dropout: 0.05, Targets: []string{"attn_q", "attn_v"}}
	require.NoError(t, l.Validate("lora"))
	for want, bad := range map[string]func(*LoRA){
		"lora.rank: want at least 1, got 0":        func(l *LoRA) { l.Rank = 0 },
		"lora.alpha: want more than 0, got NaN":    func(l *LoRA) { l.Alpha = math.NaN() },
		"lora.dropout: want at least 0 and less":   func(l *LoRA) { l.Dropout = 1 },
		"lora.targets: want at least one of attn":  func(l *LoRA) { l.Targets = nil },
		`lora.targets[0]: want one of attn_q`:      func(l *LoRA) { l.Targets = []string{"q_proj"} },
		`lora.targets[1]: "attn_q" is given twice`: func(l *LoRA) { l.Targets = []string{"attn_q", "attn_q"} },
	} {
		c := l
		bad(&c)
		require.ErrorContains(t, c.Validate("lora"), want)
	}
}

// A run that ends inside its warm-up never has its learning rate, and says so; the
// automatic warm-up leaves the rate to runs of any length.
func TestWarmupOfShortRuns(t *testing.T) {
	o := Optim{LR: 2e-4, LRSchedule: LRSchedule{Schedule: Cosine, WarmupSteps: 20}}
	require.Equal(t, []string{"warning: the run ends inside its warm-up: 2 updates, warmup_steps is 20, so the " +
		"learning rate reaches 1e-05 of 0.0002: lower optim.warmup_steps, or raise epochs"},
		o.Doubts(2, "raise epochs"))
	require.Len(t, o.Doubts(20, ""), 1)
	require.Empty(t, o.Doubts(21, ""))
	o.WarmupSteps = AutoWarmup
	for total, want := range map[int64]int64{1: 0, 9: 0, 10: 1, 32: 3, 199: 19, 200: 20, 5000: 20} {
		require.Equal(t, want, o.Warmup(total), total)
		highest := 0.0
		for step := range total {
			highest = max(highest, o.At(step, total).LR)
		}
		require.Equal(t, o.LR, highest, total)
	}
	require.Empty(t, o.Doubts(10, ""))
	require.Contains(t, o.Doubts(9, "raise epochs")[0], "the run has 9 updates")
}
