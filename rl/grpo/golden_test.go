package grpo

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// number is one, or the text "nan".
type number float64

func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == `"nan"` {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

// peerAdvantages are those of trl, with what one of the files says beside them.
type peerAdvantages struct {
	Adv       []float64
	StdIsZero []bool `json:"std_is_zero"`
}

func (a *peerAdvantages) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, &a.Adv)
	}
	type plain peerAdvantages
	return json.Unmarshal(text, (*plain)(a))
}

type peerLoss struct {
	Name      string
	LossType  LossType `json:"loss_type"`
	Level     Level    `json:"importance_sampling_level"`
	Beta      float64
	Low       float64 `json:"epsilon_low"`
	High      float64 `json:"epsilon_high"`
	Delta     float64
	Longest   int      `json:"max_completion_length"`
	Items     float64  `json:"num_items_in_batch"`
	Accum     float64  `json:"gradient_accumulation_steps"`
	PerGen    float64  `json:"steps_per_generation"`
	TauPos    float64  `json:"sapo_temperature_pos"`
	TauNeg    float64  `json:"sapo_temperature_neg"`
	KPos      float64  `json:"vespo_k_pos"`
	LambdaPos float64  `json:"vespo_lambda_pos"`
	KNeg      float64  `json:"vespo_k_neg"`
	LambdaNeg float64  `json:"vespo_lambda_neg"`
	Top       *float64 `json:"top_entropy_quantile"`
	OffPolicy float64  `json:"off_policy_mask_threshold"`
	Bias      bool     `json:"use_bias_correction_kl"`
	Entropy   float64  `json:"entropy_coef"`
	OldIsNew  bool     `json:"old_is_new_detached"`
	Loss      float64
	Grad      [][]float64 `json:"grad_logprobs"`
	Metrics   map[string]float64
}

type peerCase struct {
	Name       string
	Groups     int
	Size       int                       `json:"num_generations"`
	Rewards    [][]number                `json:"rewards_per_func"`
	Weights    []float64                 `json:"reward_weights"`
	Advantages map[string]peerAdvantages `json:"advantages"`
	Used       string                    `json:"advantages_used"`
	Mask       [][]float64
	Logprobs   [][]float64
	Old        [][]float64 `json:"old_logprobs"`
	Ref        [][]float64 `json:"ref_logprobs"`
	Entropies  [][]float64
	Losses     []peerLoss
}

func peerCases(t *testing.T) (cases []peerCase) {
	for _, file := range []string{"ppo/trl_current.json.gz", "preference/preference.json.gz"} {
		var f struct{ GRPO []peerCase }
		testfiles.ReadGolden(t, file, &f)
		require.NotEmpty(t, f.GRPO)
		cases = append(cases, f.GRPO...)
	}
	return cases
}

// columns turns rewards of answers into answers of rewards.
func (c *peerCase) columns() (out [][]float64) {
	for k := range c.Weights {
		var col []float64
		for _, row := range c.Rewards {
			col = append(col, float64(row[k]))
		}
		out = append(out, col)
	}
	return out
}

// scores are the weighted sums, NaN where no reward judges.
func (c *peerCase) scores() (out []float64) {
	for _, row := range c.Rewards {
		sum, any := 0.0, false
		for k, r := range row {
			if !math.IsNaN(float64(r)) {
				sum, any = sum+c.Weights[k]*float64(r), true
			}
		}
		if !any {
			sum = math.NaN()
		}
		out = append(out, sum)
	}
	return out
}

const tolerance = 1e-5

func near(t *testing.T, want, got float64, what ...any) {
	t.Helper()
	require.InDelta(t, want, got, tolerance*max(1, math.Abs(want)), what...)
}

func TestAdvantagesOfTRL(t *testing.T) {
	for _, c := range peerCases(t) {
		for how, want := range c.Advantages {
			order, scale, _ := strings.Cut(how, "/")
			a := Advantage{Baseline: GroupMean, ScaleRewards: Scale(scale), Aggregation: Aggregation(order)}
			got, flat := a.Advantages(c.scores(), c.columns(), c.Weights, c.Size)
			for i := range got {
				near(t, want.Adv[i], got[i], "%s %s %d", c.Name, how, i)
			}
			if want.StdIsZero != nil && scale != "none" { // of the group even where nothing is divided
				require.Equal(t, want.StdIsZero, flat, "%s %s", c.Name, how)
			}
		}
	}
}

func picked(x, mask []float64) (out []float64) {
	for i, m := range mask {
		if m != 0 {
			out = append(out, x[i])
		}
	}
	return out
}

func (p *peerLoss) loss() Loss {
	l := Default().Loss
	l.LossType, l.Level, l.EpsilonLow, l.EpsilonHigh, l.Delta = p.LossType, p.Level, p.Low, p.High, p.Delta
	l.KLImportance, l.OffPolicyMask = p.Bias, p.OffPolicy
	if l.Level == "" {
		l.Level = LevelToken
	}
	for _, x := range []struct {
		to   *float64
		from float64
	}{
		{&l.SAPOTemperaturePos, p.TauPos}, {&l.SAPOTemperatureNeg, p.TauNeg}, {&l.VESPOKPos, p.KPos},
		{&l.VESPOLambdaPos, p.LambdaPos}, {&l.VESPOKNeg, p.KNeg}, {&l.VESPOLambdaNeg, p.LambdaNeg},
	} {
		if x.from != 0 {
			*x.to = x.from
		}
	}
	return l
}

// perBatch is what trl divides by: the tokens of the iteration for each update.
func (p *peerLoss) perBatch(tokens float64) float64 {
	if p.Items == 0 {
		return tokens
	}
	return p.Items * max(p.Accum, 1) / max(p.PerGen, 1)
}

// TestLossesOfTRL compares every loss and its gradient with trl's own.
func TestLossesOfTRL(t *testing.T) {
	seen := map[LossType]bool{}
	for _, c := range peerCases(t) {
		used := c.Used
		if used == "" {
			used = "sum_then_normalize/group"
		}
		adv := c.Advantages[used].Adv
		for _, p := range c.Losses {
			t.Run(c.Name+"/"+p.Name+string(p.LossType), func(t *testing.T) {
				seen[p.LossType] = true
				c.compareLoss(t, p, adv)
			})
		}
	}
	require.Len(t, seen, len(LossType("").Values()))
}

func (c *peerCase) compareLoss(t *testing.T, p peerLoss, adv []float64) {
	l := p.loss()
	var entropies []float64
	lengths, tokens := make([]int, len(c.Mask)), 0.0
	for i := range c.Mask {
		lengths[i] = len(picked(c.Mask[i], c.Mask[i]))
		tokens += float64(lengths[i])
		if c.Entropies != nil {
			entropies = append(entropies, picked(c.Entropies[i], c.Mask[i])...)
		}
	}
	weights := l.LossType.Weights(lengths, p.Longest, p.perBatch(tokens))
	loss, kl, low, high, ratios := 0.0, 0.0, 0.0, 0.0, 0.0
	for i, mask := range c.Mask {
		a := Answer{New: picked(c.Logprobs[i], mask), Old: picked(c.Old[i], mask), Ref: picked(c.Ref[i], mask)}
		if p.OldIsNew {
			a.Old = a.New
		}
		for range a.New {
			a.Advantages = append(a.Advantages, adv[i])
		}
		if p.Top != nil {
			from := Quantile(entropies, 1-*p.Top)
			for _, h := range picked(c.Entropies[i], mask) {
				a.Left = append(a.Left, h < from)
			}
		}
		terms := l.Terms(a, p.Beta)
		loss += weights[i] * terms.Loss
		kl, low, high, ratios = kl+terms.KL, low+terms.Low, high+terms.High, ratios+terms.Ratios
		for k, want := range picked(p.Grad[i], mask) {
			near(t, want, weights[i]*terms.Grad[k], "gradient %d %d", i, k)
		}
	}
	for _, h := range entropies { // the bonus has no gradient there, and is none of ours
		loss -= p.Entropy * h / tokens
	}
	near(t, p.Loss, loss, "loss")
	for name, got := range map[string]float64{
		"kl": kl / tokens, "clip_ratio/low_mean": low / ratios, "clip_ratio/high_mean": high / ratios,
	} {
		if want, ok := p.Metrics[name]; ok && l.LossType != GMPO && ratios > 0 {
			near(t, want, got, name)
		}
	}
}

// TestRLOOOfTRL: leave-one-out baselines and the ratio of whole answers.
func TestRLOOOfTRL(t *testing.T) {
	var f struct {
		RLOO []struct {
			Name       string
			Size       int       `json:"num_generations"`
			Normalize  bool      `json:"normalize_advantages"`
			Rewards    []float64 `json:"rewards_after_kl"`
			Advantages []float64
			Mask       [][]float64
			Logprobs   [][]float64
			Old        [][]float64 `json:"old_logprobs"`
			Epsilon    float64
			Loss       float64
			Grad       [][]float64 `json:"grad_logprobs"`
		}
	}
	testfiles.ReadGolden(t, "ppo/trl_current.json.gz", &f)
	require.NotEmpty(t, f.RLOO)
	for _, c := range f.RLOO {
		a := RLOO().Advantage
		a.NormalizeAdvantages = c.Normalize
		adv, _ := a.Advantages(c.Rewards, nil, nil, c.Size)
		l := RLOO().Loss
		l.EpsilonLow, l.EpsilonHigh = c.Epsilon, c.Epsilon
		lengths := make([]int, len(c.Mask))
		for i, m := range c.Mask {
			lengths[i] = len(picked(m, m))
		}
		loss := 0.0
		weights := l.LossType.Weights(lengths, 0, 0)
		for i, mask := range c.Mask {
			near(t, c.Advantages[i], adv[i], "%s advantage %d", c.Name, i)
			one := Answer{New: picked(c.Logprobs[i], mask), Old: picked(c.Old[i], mask)}
			for range one.New {
				one.Advantages = append(one.Advantages, adv[i])
			}
			terms := l.Terms(one, 0)
			loss += weights[i] * terms.Loss
			for k, want := range picked(c.Grad[i], mask) {
				near(t, want, weights[i]*terms.Grad[k], "%s gradient %d %d", c.Name, i, k)
			}
		}
		near(t, c.Loss, loss, c.Name)
	}
}

func TestSoftOverlongOfTRL(t *testing.T) {
	var f struct {
		Cases []struct {
			Longest int `json:"max_completion_len"`
			Cache   int `json:"soft_punish_cache"`
			Lengths []int
			Rewards []float64
		} `json:"soft_overlong_punishment"`
	}
	testfiles.ReadGolden(t, "preference/preference.json.gz", &f)
	require.NotEmpty(t, f.Cases)
	for _, c := range f.Cases {
		for i, n := range c.Lengths {
			near(t, c.Rewards[i], SoftOverlong(n, c.Longest, c.Cache), "%d of %d", n, c.Longest)
		}
	}
	require.Zero(t, SoftOverlong(100, 10, 0), "0 is off")
}
