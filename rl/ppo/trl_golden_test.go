package ppo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/rollout"
)

type trlGrad struct {
	LogprobsNew [][]float64 `json:"logprobs_new"`
	VpredNew    [][]float64 `json:"vpred_new"`
}

type trlCase struct {
	Name   string
	Config struct {
		KLPenalty       rollout.KLPenalty `json:"kl_penalty"`
		Gamma, Lam      float64
		ClipRange       float64 `json:"cliprange"`
		ClipRangeValue  float64 `json:"cliprange_value"`
		VfCoef          float64 `json:"vf_coef"`
		RatioThreshold  float64 `json:"ratio_threshold"`
		InitKLCoef      float64 `json:"init_kl_coef"`
		Target, Horizon float64
	}
	Inputs struct {
		Mask            [][]float64
		Scores          []float64
		LogprobsOld     [][]float64   `json:"logprobs_old"`
		LogprobsRef     [][]float64   `json:"logprobs_ref"`
		ValuesOld       [][]float64   `json:"values_old"`
		LogprobsNew     [][]float64   `json:"logprobs_new"`
		VpredNew        [][]float64   `json:"vpred_new"`
		FullLogprobsOld [][][]float64 `json:"full_logprobs_old"`
		FullLogprobsRef [][][]float64 `json:"full_logprobs_ref"`
	}
	KLPerToken     map[rollout.KLPenalty][][]float64 `json:"kl_per_token"`
	NonScoreReward [][]float64                       `json:"non_score_reward"`
	Rewards        [][]float64
	AdvantagesRaw  [][]float64 `json:"advantages_raw"`
	Advantages     [][]float64
	Returns        [][]float64
	Loss           struct {
		Policy           float64
		ValueTimesVfCoef float64 `json:"value_times_vf_coef"`
		Total            float64
	}
	Stats         map[string]float64
	MaskedMeanRaw float64 `json:"masked_mean_advantages_raw"`
	MaskedVarRaw  float64 `json:"masked_var_advantages_raw"`
	Grad          trlGrad
	MiniBatch1    struct {
		PerRow []struct {
			Policy           float64
			ValueTimesVfCoef float64 `json:"value_times_vf_coef"`
			AvgRatio         float64 `json:"avg_ratio"`
		} `json:"per_row"`
		Grad trlGrad
	} `json:"mini_batch_1"`
	KLController struct {
		ObjectiveKL float64   `json:"objective_kl"`
		KLDist      []float64 `json:"kl_dist"`
		NSteps      int       `json:"n_steps"`
		BetaBefore  float64   `json:"beta_before"`
		BetaAfter   float64   `json:"beta_after"`
	} `json:"kl_controller"`
}

type trlFile struct {
	Cases      []trlCase
	AdaptiveKL []struct {
		Init, Target, Horizon float64
		NSteps                int `json:"n_steps"`
		KL                    []float64
		ValueAfter            []float64 `json:"value_after"`
	} `json:"adaptive_kl"`
	EarlyStop []struct {
		EarlyStopping bool    `json:"early_stopping"`
		TargetKL      float64 `json:"target_kl"`
		PolicyKL      float64
		Stop          bool
	} `json:"early_stop"`
	RunningMoments []struct {
		Scores              []float64
		RunningMean         float64   `json:"running_mean"`
		RunningStd          float64   `json:"running_std"`
		RunningVar          float64   `json:"running_var"`
		RunningCount        float64   `json:"running_count"`
		Scaled              []float64 `json:"scaled"`
		ScaledAndNormed     []float64 `json:"scaled_and_normed"`
		ScaledAndNormedClip []float64 `json:"scaled_and_normed_clip_0p5"`
	} `json:"running_moments"`
	Helpers []struct {
		Values, Mask        [][]float64
		MaskedMean          float64     `json:"masked_mean"`
		MaskedVarUnbiased   float64     `json:"masked_var_unbiased"`
		MaskedWhitenShift   [][]float64 `json:"masked_whiten_shift"`
		MaskedWhitenNoShift [][]float64 `json:"masked_whiten_noshift"`
	}
}

func readTRL(t *testing.T) trlFile {
	var f trlFile
	readGolden(t, &f, "trl071.json.gz")
	require.NotEmpty(t, f.Cases)
	return f
}

func TestTRLRewardsAndAdvantages(t *testing.T) {
	for _, c := range readTRL(t).Cases {
		t.Run(c.Name, func(t *testing.T) {
			mask := c.Inputs.Mask
			logprobs, ref := pick(c.Inputs.LogprobsOld, mask), pick(c.Inputs.LogprobsRef, mask)
			for penalty, want := range c.KLPerToken {
				got := make([][]float64, len(mask))
				for s := range mask {
					if penalty != rollout.KLFull {
						got[s] = rollout.SequenceKL(penalty, logprobs[s], ref[s])
						continue
					}
					for i, m := range mask[s] {
						if m != 0 {
							got[s] = append(got[s], rollout.FullKL(c.Inputs.FullLogprobsOld[s][i],
								c.Inputs.FullLogprobsRef[s][i]))
						}
					}
				}
				nearRows(t, pick(want, mask), got, string(penalty))
			}

			kl := pick(c.KLPerToken[c.Config.KLPenalty], mask)
			values := pick(c.Inputs.ValuesOld, mask)
			n := len(mask)
			rewards, nonScore := make([][]float64, n), make([][]float64, n)
			raw, returns := make([][]float64, n), make([][]float64, n)
			sum := 0.0
			for s := range mask {
				rewards[s], nonScore[s] = Rewards(kl[s], c.Inputs.Scores[s], c.Config.InitKLCoef)
				raw[s], returns[s] = GAE(rewards[s], values[s], c.Config.Gamma, c.Config.Lam)
				d := 0.0
				for i := range logprobs[s] {
					d += logprobs[s][i] - ref[s][i]
				}
				near(t, c.KLController.KLDist[s], d, "kl_dist")
				sum += d / float64(n)
			}
			nearRows(t, pick(c.NonScoreReward, mask), nonScore, "non-score reward")
			nearRows(t, pick(c.Rewards, mask), rewards, "rewards")
			nearRows(t, pick(c.AdvantagesRaw, mask), raw, "raw advantages")
			nearRows(t, pick(c.Returns, mask), returns, "returns")
			white, err := Whiten(raw, false)
			require.NoError(t, err)
			nearRows(t, pick(c.Advantages, mask), white, "advantages")
			mean, variance := Moments(raw)
			near(t, c.MaskedMeanRaw, mean, "mean")
			near(t, c.MaskedVarRaw, variance, "variance")

			k := c.KLController
			near(t, k.ObjectiveKL, sum, "objective/kl")
			near(t, k.BetaAfter, NextKLCoef(k.BetaBefore, sum, c.Config.Target, c.Config.Horizon, k.NSteps), "kl coef")
		})
	}
}

func TestTRLLosses(t *testing.T) {
	for _, c := range readTRL(t).Cases {
		for _, mean := range []LossMean{MeanToken, MeanSequence, MeanGroup} { // groups of one
			t.Run(c.Name+"/"+string(mean), func(t *testing.T) {
				in, mask := c.Inputs, c.Inputs.Mask
				// trl's values_old of the loss are the masked ones; equal where the mask is 1.
				batch := make([]Terms, len(mask))
				newLP, oldLP := pick(in.LogprobsNew, mask), pick(in.LogprobsOld, mask)
				adv, ret := pick(c.Advantages, mask), pick(c.Returns, mask)
				v, vOld := pick(in.VpredNew, mask), pick(in.ValuesOld, mask)
				for s := range mask {
					batch[s] = Terms{
						Policy:     PolicyLoss(newLP[s], oldLP[s], adv[s], c.Config.ClipRange),
						Value:      ValueLoss(v[s], vOld[s], ret[s], c.Config.ClipRangeValue),
						Advantages: adv[s], Returns: ret[s], OldValues: vOld[s],
					}
				}
				lc := LossConfig{Mean: mean, Group: 1, ValueCoef: c.Config.VfCoef,
					RatioThreshold: c.Config.RatioThreshold}
				groups := lc.Combine(batch)
				grad, weights := c.Grad, mean.Weights(lengthsOf(newLP), 1)
				if mean != MeanToken {
					grad = c.MiniBatch1.Grad
					require.Len(t, groups, len(mask))
					for s, row := range c.MiniBatch1.PerRow {
						near(t, row.Policy, groups[s].Stats["loss/policy"], "policy")
						near(t, row.ValueTimesVfCoef, c.Config.VfCoef*groups[s].Stats["loss/value"], "value")
						near(t, row.AvgRatio, groups[s].Stats["policy/ratio"], "ratio")
						require.Equal(t, row.AvgRatio > c.Config.RatioThreshold, groups[s].Skip)
					}
				} else {
					require.Len(t, groups, 1)
					st := groups[0].Stats
					near(t, c.Loss.Policy, st["loss/policy"], "policy")
					near(t, c.Loss.ValueTimesVfCoef, c.Config.VfCoef*st["loss/value"], "value")
					near(t, c.Loss.Total, st["loss/total"], "total")
					for name, want := range c.Stats {
						if name == "policy/entropy" {
							continue // from logits, which the engine turns into an entropy
						}
						near(t, want, st[name], name)
					}
				}
				for s := range mask {
					skip := groups[0].Skip
					if mean != MeanToken {
						skip = groups[s].Skip
					}
					wantLP, wantV := pick(grad.LogprobsNew, mask)[s], pick(grad.VpredNew, mask)[s]
					lp, val := batch[s].Gradient(weights[s], c.Config.VfCoef, skip)
					for i := range wantLP {
						near(t, wantLP[i], float64(lp[i]), "dlogprob ", s, " ", i)
						near(t, wantV[i], float64(val[i]), "dvalue ", s, " ", i)
					}
				}
			})
		}
	}
}

func TestTRLControllersAndMoments(t *testing.T) {
	f := readTRL(t)
	for _, c := range f.AdaptiveKL {
		coef := c.Init
		for i, kl := range c.KL {
			coef = NextKLCoef(coef, kl, c.Target, c.Horizon, c.NSteps)
			require.InEpsilon(t, c.ValueAfter[i], coef, 1e-12)
		}
	}
	for _, c := range f.EarlyStop {
		require.Equal(t, c.Stop, c.EarlyStopping && EpochKLExceeded(c.PolicyKL, c.TargetKL), "%+v", c)
	}
	scaled, normed := NewRunningMoments(), NewRunningMoments()
	clipped := NewRunningMoments()
	for _, c := range f.RunningMoments {
		a := ScoreScaling{Scale: true}.Apply(&scaled, c.Scores)
		b := ScoreScaling{Scale: true, Norm: true}.Apply(&normed, c.Scores)
		d := ScoreScaling{Scale: true, Norm: true, Clip: 0.5}.Apply(&clipped, c.Scores)
		nearRows(t, [][]float64{c.Scaled, c.ScaledAndNormed, c.ScaledAndNormedClip}, [][]float64{a, b, d}, "scores")
		near(t, c.RunningMean, scaled.Mean, "mean")
		near(t, c.RunningVar, scaled.Var, "var")
		near(t, c.RunningStd, scaled.Std(), "std")
		near(t, c.RunningCount, scaled.Count, "count")
	}
	for _, h := range f.Helpers {
		x := pick(h.Values, h.Mask)
		mean, variance := Moments(x)
		near(t, h.MaskedMean, mean, "mean")
		near(t, h.MaskedVarUnbiased, variance, "variance")
		for keepMean, want := range map[bool][][]float64{false: h.MaskedWhitenShift, true: h.MaskedWhitenNoShift} {
			got, err := Whiten(x, keepMean)
			require.NoError(t, err)
			nearRows(t, pick(want, h.Mask), got, "whitened")
		}
	}
}

type experimentalFile struct {
	Cases []struct {
		Name string
		Args struct {
			KLEstimator    string  `json:"kl_estimator"`
			KLCoef         float64 `json:"kl_coef"`
			WhitenRewards  bool    `json:"whiten_rewards"`
			Gamma, Lam     float64
			ClipRange      float64 `json:"cliprange"`
			ClipRangeValue float64 `json:"cliprange_value"`
			VfCoef         float64 `json:"vf_coef"`
		}
		Lens                []int
		LogprobsOld         [][]float64 `json:"logprobs_old"`
		LogprobsRef         [][]float64 `json:"logprobs_ref"`
		ValuesOld           [][]float64 `json:"values_old"`
		Scores              []float64
		KL                  [][]float64
		RewardsBeforeWhiten [][]float64 `json:"rewards_before_whiten"`
		Rewards             [][]float64
		AdvantagesRaw       [][]float64 `json:"advantages_raw"`
		Advantages          [][]float64
		Returns             [][]float64
		LogprobsNew         [][]float64 `json:"logprobs_new"`
		VpredNew            [][]float64 `json:"vpred_new"`
		VfLoss              float64     `json:"vf_loss"`
		PgLoss              float64     `json:"pg_loss"`
		Loss                float64
		VfClipFrac          float64 `json:"vf_clipfrac"`
		Grad                trlGrad
	} `json:"experimental_ppo"`
}

// trl's newer PPO adds the score one position after the last token, so values and
// rewards have one place more than log-probabilities unless the row is full. The
// formulas are the same ones.
func TestExperimentalPPO(t *testing.T) {
	var f experimentalFile
	readGolden(t, &f, "trl_current.json.gz")
	require.Len(t, f.Cases, 3)
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) {
			n, width := len(c.Lens), len(c.LogprobsOld[0])
			longer := make([]int, n)
			kl, rewards := make([][]float64, n), make([][]float64, n)
			for s, l := range c.Lens {
				longer[s] = min(l+1, width)
				penalty := map[string]rollout.KLPenalty{"k1": rollout.KLK1, "k3": rollout.KLK3}[c.Args.KLEstimator]
				kl[s] = rollout.SequenceKL(penalty, c.LogprobsOld[s][:l], c.LogprobsRef[s][:l])
				padded := append(append([]float64(nil), kl[s]...), make([]float64, longer[s]-l)...)
				rewards[s], _ = Rewards(padded, c.Scores[s], c.Args.KLCoef)
			}
			nearRows(t, first(c.KL, c.Lens), kl, "kl")
			nearRows(t, first(c.RewardsBeforeWhiten, longer), rewards, "rewards")
			if c.Args.WhitenRewards {
				var err error
				rewards, err = Whiten(rewards, true)
				require.NoError(t, err)
			}
			nearRows(t, first(c.Rewards, longer), rewards, "rewards used")
			values := first(c.ValuesOld, longer)
			raw, returns := make([][]float64, n), make([][]float64, n)
			for s := range rewards {
				raw[s], returns[s] = GAE(rewards[s], values[s], c.Args.Gamma, c.Args.Lam)
			}
			nearRows(t, first(c.AdvantagesRaw, longer), raw, "raw advantages")
			nearRows(t, first(c.Returns, longer), returns, "returns")
			adv, err := Whiten(first(raw, c.Lens), false)
			require.NoError(t, err)
			nearRows(t, first(c.Advantages, c.Lens), adv, "advantages")

			wp, wv := MeanToken.Weights(c.Lens, 1), MeanToken.Weights(longer, 1)
			var pg, vf, clipped float64
			for s, l := range c.Lens {
				p := PolicyLoss(c.LogprobsNew[s][:l], c.LogprobsOld[s][:l], adv[s], c.Args.ClipRange)
				v := ValueLoss(c.VpredNew[s][:longer[s]], values[s], returns[s], c.Args.ClipRangeValue)
				pg, vf, clipped = pg+wp[s]*p.Loss, vf+wv[s]*v.Loss, clipped+wv[s]*v.Clipped
				for i := range p.Grad {
					near(t, c.Grad.LogprobsNew[s][i], wp[s]*p.Grad[i], "dlogprob")
				}
				for i := range v.Grad {
					near(t, c.Grad.VpredNew[s][i], c.Args.VfCoef*wv[s]*v.Grad[i], "dvalue")
				}
			}
			near(t, c.PgLoss, pg, "policy loss")
			near(t, c.VfLoss, vf, "value loss")
			near(t, c.VfClipFrac, clipped, "value clip fraction")
			near(t, c.Loss, pg+c.Args.VfCoef*vf, "loss")
		})
	}
}
