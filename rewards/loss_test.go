package rewards

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
	"steer/rl/data"
	"steer/rl/train"
)

func TestPairLossByHand(t *testing.T) {
	loss, dc, dr := PairLoss(0, 0, 0, 0)
	require.InDelta(t, math.Ln2, loss, 1e-15)
	require.Equal(t, -0.5, dc)
	require.Equal(t, 0.5, dr)

	// d = 3 - 1 - 2 = 0, centring 0.1*(3+1)^2 = 1.6, its derivative 0.8.
	loss, dc, dr = PairLoss(3, 1, 2, 0.1)
	require.InDelta(t, math.Ln2+1.6, loss, 1e-15)
	require.InDelta(t, -0.5+0.8, dc, 1e-15)
	require.InDelta(t, 0.5+0.8, dr, 1e-15)

	for _, big := range []float64{800, -800} {
		loss, dc, dr = PairLoss(big, 0, 0, 0)
		require.False(t, math.IsInf(loss, 0) || math.IsNaN(loss) || math.IsNaN(dc) || math.IsNaN(dr))
		require.InDelta(t, math.Max(-big, 0), loss, 1e-12)
	}
}

func TestPairLossFiniteDifferences(t *testing.T) {
	const h = 1e-6
	for _, x := range [][4]float64{{0.3, -0.2, 0, 0}, {1.5, 2, 0.5, 0.01}, {-3, 4, 0, 0.2}, {5, -5, 1, 0}} {
		f := func(c, r float64) float64 { loss, _, _ := PairLoss(c, r, x[2], x[3]); return loss }
		_, dc, dr := PairLoss(x[0], x[1], x[2], x[3])
		require.InDelta(t, (f(x[0]+h, x[1])-f(x[0]-h, x[1]))/(2*h), dc, 1e-8)
		require.InDelta(t, (f(x[0], x[1]+h)-f(x[0], x[1]-h))/(2*h), dr, 1e-8)
	}
}

type goldenPair struct {
	Chosen        string  `json:"chosen"`
	Rejected      string  `json:"rejected"`
	IDsChosen     []int32 `json:"ids_chosen"`
	IDsRejected   []int32 `json:"ids_rejected"`
	ScoreChosen   float64 `json:"score_chosen"`
	ScoreRejected float64 `json:"score_rejected"`
	Loss          float64 `json:"loss"`
	FinalChosen   float64 `json:"final_score_chosen"`
	FinalRejected float64 `json:"final_score_rejected"`
}

// Loss and accuracy of transformers' and PEFT's reward model, from its scores.
func TestGoldenLoss(t *testing.T) {
	var golden struct {
		Pairs []goldenPair `json:"pairs"`
	}
	testfiles.ReadGolden(t, "reward/rm/pairs.json.gz", &golden)
	require.Len(t, golden.Pairs, 8)
	var c struct {
		Loss       float64 `json:"loss"`
		FinalLoss  float64 `json:"final_loss"`
		Trajectory []struct {
			Accuracy float64 `json:"accuracy"`
		} `json:"trajectory"`
	}
	testfiles.ReadGolden(t, "reward/rm/case.json", &c)

	var b, final batchStats
	for _, p := range golden.Pairs {
		loss, _, _ := PairLoss(p.ScoreChosen, p.ScoreRejected, 0, 0)
		require.InDelta(t, p.Loss, loss, 1e-5)
		b.add(p.ScoreChosen, p.ScoreRejected, 0, 0)
		final.add(p.FinalChosen, p.FinalRejected, 0, 0)
	}
	require.InDelta(t, c.Loss, b.Loss/8, 1e-5)
	require.InDelta(t, c.FinalLoss, final.Loss/8, 1e-5)
	require.Equal(t, c.Trajectory[0].Accuracy, float64(b.Correct)/8)
}

func TestAccuracyAndDistribution(t *testing.T) {
	a := AccuracyOf([]float32{1, 2, 3, 0}, []float32{0, 2, 4, -1})
	require.Equal(t, 4, a.Pairs)
	require.Equal(t, 2, a.Correct)
	require.Equal(t, 1, a.Ties)
	require.Equal(t, 0.5, a.Accuracy)
	require.InDelta(t, 0.25, a.Margin, 1e-15)
	require.InDelta(t, 0.15003899, a.Lo, 1e-7) // statsmodels proportion_confint(2, 4, method="wilson")
	require.InDelta(t, 0.84996101, a.Hi, 1e-7)

	d := DistributionOf([]float32{1, 2, 3, 4}, 0, 0)
	require.Equal(t, 2.5, d.Mean)
	require.InDelta(t, math.Sqrt(1.25), d.Std, 1e-15)
	require.Equal(t, 1.0, d.Quantiles[0])
	require.Equal(t, 2.5, d.Quantiles[3])
	require.Equal(t, 4.0, d.Quantiles[6])
	require.Equal(t, 1, d.Histogram[0])
	require.Equal(t, 1, d.Histogram[histogramBins-1])
	sum := 0
	for _, n := range d.Histogram {
		sum += n
	}
	require.Equal(t, 4, sum)
}

func TestConfig(t *testing.T) {
	for _, p := range train.Preset("").Values() {
		cfg, err := New(train.Preset(p))
		require.NoError(t, err)
		require.Equal(t, train.Preset(p), cfg.Preset)
		for _, theory := range TheoryName("").Values() {
			cfg.Theory = TheoryName(theory)
			require.NoError(t, cfg.Validate())
		}
	}
	_, err := New("best")
	require.ErrorContains(t, err, "thesis")

	cfg := Default()
	cfg.Theory, cfg.Recipe, cfg.Form, cfg.Overlong = Utilitarianism, RecipeCross, "raw", data.OverlongTruncate
	cfg.MiniBatchSize, cfg.MicroBatchSize, cfg.MicroBatchTokens = 8, 3, 0
	cfg.Centre, cfg.Epochs, cfg.HeadInit = -1, 0, "ones"
	err = cfg.Validate()
	for _, want := range []string{"recipe", `form: want one of [plain chat], got "raw"`, "overlong", "does not divide",
		"centre", "epochs or max_steps", "head_init"} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, int64(3), Config{Batches: train.Batches{MiniBatchSize: 4, Epochs: 1}}.Steps(9))

	w := HeadScaled.Weights(400, 3)
	require.Equal(t, w, HeadScaled.Weights(400, 3))
	ss := 0.0
	for _, x := range w {
		ss += float64(x) * float64(x)
	}
	require.InDelta(t, 1, ss, 0.3)
}
