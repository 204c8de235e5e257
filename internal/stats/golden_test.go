package stats

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

const tol = 1e-9

// nan reads "nan" as well as numbers.
type nan float64

func (n *nan) UnmarshalJSON(b []byte) error {
	if string(b) == `"nan"` || string(b) == "NaN" {
		*n = nan(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

func golden(t *testing.T, name string, into any) {
	t.Helper()
	testfiles.ReadGolden(t, "stats/"+name, into)
}

// block decodes one block of stats.json.gz.
func block(t *testing.T, name string, into any) {
	t.Helper()
	var all map[string]json.RawMessage
	golden(t, "stats.json.gz", &all)
	require.Contains(t, all, name)
	require.NoError(t, json.Unmarshal(all[name], into))
}

func near(t *testing.T, want nan, got float64, tol float64, msg ...any) {
	t.Helper()
	if math.IsNaN(float64(want)) {
		require.True(t, math.IsNaN(got), msg...)
		return
	}
	require.InDelta(t, float64(want), got, tol, msg...)
}

func TestGoldenClassification(t *testing.T) {
	var cases []struct {
		Name             string
		Y, Pred          []int
		Acc, MCC, Kappa  nan
		BalancedAccuracy nan   `json:"balanced_accuracy"`
		MacroF1          nan   `json:"macro_f1"`
		F1               *nan  `json:"f1_positive"`
		Confusion        []int `json:"confusion_tn_fp_fn_tp"`
	}
	block(t, "classification", &cases)
	require.Len(t, cases, 12)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			m, err := NewConfusion(c.Y, c.Pred)
			require.NoError(t, err)
			mcc, _ := m.MCC()
			near(t, c.Acc, m.Accuracy(), tol)
			near(t, c.MCC, mcc, tol)
			near(t, c.Kappa, m.Kappa(), tol)
			near(t, c.BalancedAccuracy, m.BalancedAccuracy(), tol)
			near(t, c.MacroF1, m.MacroF1(), tol)
			if c.Confusion == nil {
				return
			}
			b, err := CountBinary(c.Y, c.Pred)
			require.NoError(t, err)
			require.Equal(t, c.Confusion, []int{b.TN, b.FP, b.FN, b.TP})
			mcc, _ = b.MCC()
			near(t, c.Acc, b.Accuracy(), tol)
			near(t, c.MCC, mcc, tol)
			near(t, c.Kappa, b.Kappa(), tol)
			near(t, c.BalancedAccuracy, b.BalancedAccuracy(), tol)
			near(t, c.MacroF1, b.MacroF1(), tol)
			near(t, *c.F1, b.F1(), tol)
		})
	}
}

func TestGoldenMCCLargeCounts(t *testing.T) {
	var c struct {
		Counts Binary
		MCC    nan
	}
	block(t, "mcc_no_int64_overflow", &c)
	m, degenerate := c.Counts.MCC()
	require.False(t, degenerate)
	near(t, c.MCC, m, tol)
	m, _ = c.Counts.Confusion().MCC()
	near(t, c.MCC, m, tol)
}

func TestGoldenMCCStdErr(t *testing.T) {
	var cases []struct {
		Binary
		MCC, SE nan
	}
	block(t, "mcc_asymptotic_se", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		m, _ := c.Binary.MCC()
		near(t, c.MCC, m, tol)
		near(t, c.SE, c.Binary.MCCStdErr(), tol)
	}
}

func TestGoldenAUC(t *testing.T) {
	var cases []struct {
		Y     []int
		Score []float64
		AUC   nan `json:"roc_auc"`
		AP    nan `json:"average_precision"`
	}
	block(t, "roc_auc", &cases)
	require.NotEmpty(t, cases)
	for i, c := range cases {
		auc, err := AUC(c.Y, c.Score)
		require.NoError(t, err)
		near(t, c.AUC, auc, tol, i)
		ap, err := AveragePrecision(c.Y, c.Score)
		require.NoError(t, err)
		near(t, c.AP, ap, tol, i)
	}
}

func TestGoldenThreshold(t *testing.T) {
	var b struct {
		Cases []struct {
			Y               []int
			Score           []float64
			Candidates, MCC []nan
			Tau             nan `json:"best_tau"`
			Best            nan `json:"best_mcc"`
		}
	}
	block(t, "mcc_threshold", &b)
	require.NotEmpty(t, b.Cases)
	for _, c := range b.Cases {
		got, err := BestThreshold(c.Y, c.Score)
		require.NoError(t, err)
		near(t, c.Tau, got.Tau, tol)
		near(t, c.Best, got.MCC, tol)
		for i, tau := range c.Candidates {
			pred := make([]int, len(c.Y))
			for k, s := range c.Score {
				if s >= float64(tau) {
					pred[k] = 1
				}
			}
			table, err := CountBinary(c.Y, pred)
			require.NoError(t, err)
			m, _ := table.MCC()
			near(t, c.MCC[i], m, tol)
		}
	}
}

func TestGoldenMcNemar(t *testing.T) {
	var b struct {
		Cases []struct {
			B, C   int
			Exact  nan  `json:"exact_p"`
			Mid    nan  `json:"mid_p"`
			Chi2   *nan `json:"chi2"`
			Chi2P  nan  `json:"chi2_p"`
			Chi2C  nan  `json:"chi2_corrected"`
			Chi2CP nan  `json:"chi2_corrected_p"`
		}
	}
	block(t, "mcnemar", &b)
	require.Len(t, b.Cases, 7)
	for _, c := range b.Cases {
		got, err := McNemar(c.B, c.C)
		require.NoError(t, err)
		near(t, c.Exact, got.ExactP, tol, c)
		near(t, c.Mid, got.MidP, tol, c)
		if c.Chi2 != nil {
			near(t, *c.Chi2, got.Chi2, tol, c)
			near(t, c.Chi2P, got.Chi2P, tol, c)
			near(t, c.Chi2C, got.Chi2Corrected, tol, c)
			near(t, c.Chi2CP, got.Chi2CorrectedP, tol, c)
		}
	}
}

func TestGoldenCochranQ(t *testing.T) {
	var cases []struct {
		X    [][]int
		Q, P nan
		DF   int
	}
	block(t, "cochran_q", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		x := make([][]bool, len(c.X))
		for i, row := range c.X {
			for _, v := range row {
				x[i] = append(x[i], v == 1)
			}
		}
		q, p, df, err := CochranQ(x)
		require.NoError(t, err)
		near(t, c.Q, q, tol)
		near(t, c.P, p, tol)
		require.Equal(t, c.DF, df)
	}
}

func TestGoldenMultipleTesting(t *testing.T) {
	var cases []struct {
		P, Holm, Bonferroni []float64
		BH                  []float64 `json:"benjamini_hochberg"`
	}
	block(t, "multiple_testing", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		require.InDeltaSlice(t, c.Holm, Holm(c.P), tol)
		require.InDeltaSlice(t, c.Bonferroni, Bonferroni(c.P), tol)
		require.InDeltaSlice(t, c.BH, BenjaminiHochberg(c.P), tol)
	}
}

func TestGoldenProportions(t *testing.T) {
	var b struct{ Cases []map[string]json.RawMessage }
	block(t, "proportion_ci", &b)
	require.Len(t, b.Cases, 7)
	methods := map[string]func(int, int, float64) (float64, float64){
		"wilson": Wilson, "beta": ClopperPearson, "normal": NormalProportion, "agresti_coull": AgrestiCoull,
	}
	levels := map[string]float64{"_90": 0.90, "_95": 0.95}
	for _, c := range b.Cases {
		var k, n int
		require.NoError(t, json.Unmarshal(c["k"], &k))
		require.NoError(t, json.Unmarshal(c["n"], &n))
		for name, f := range methods {
			for suffix, level := range levels {
				var want [2]float64
				require.NoError(t, json.Unmarshal(c[name+suffix], &want))
				lo, hi := f(k, n, level)
				require.InDelta(t, want[0], lo, tol, "%s%s %d/%d", name, suffix, k, n)
				require.InDelta(t, want[1], hi, tol, "%s%s %d/%d", name, suffix, k, n)
			}
		}
	}
}

func TestGoldenTables(t *testing.T) {
	var cases []struct {
		Table       [2][2]int
		Fisher      nan `json:"fisher_p"`
		Chi2, Yates nan
		P           nan `json:"chi2_p"`
		ChiYates    nan `json:"chi2_yates"`
		YatesP      nan `json:"chi2_yates_p"`
	}
	block(t, "fisher_chi2", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		x := c.Table
		p, err := FisherExact(x[0][0], x[0][1], x[1][0], x[1][1])
		require.NoError(t, err)
		near(t, c.Fisher, p, tol)
		chi, p := ChiSquared2x2(x[0][0], x[0][1], x[1][0], x[1][1], false)
		near(t, c.Chi2, chi, tol)
		near(t, c.P, p, tol)
		chi, p = ChiSquared2x2(x[0][0], x[0][1], x[1][0], x[1][1], true)
		near(t, c.ChiYates, chi, tol)
		near(t, c.YatesP, p, tol)
	}
}

func TestGoldenPermutation(t *testing.T) {
	var b struct {
		Cases []struct {
			Statistic       string
			A, B            []float64
			Y, Pred1, Pred2 []int
			Observed        nan
			P               nan `json:"p_enumerated"`
		}
	}
	block(t, "paired_permutation", &b)
	require.Len(t, b.Cases, 4)
	for _, c := range b.Cases {
		var got Permutation
		var err error
		if c.A != nil {
			got, err = PermuteMeans(c.A, c.B, 0, 0)
		} else {
			got, err = PermuteBinary(c.Y, c.Pred1, c.Pred2, MetricMCC)
		}
		require.NoError(t, err)
		require.True(t, got.Exact)
		near(t, c.Observed, got.Observed, tol)
		near(t, c.P, got.P, tol, c.Statistic)
	}
}

func TestGoldenTOST(t *testing.T) {
	var b struct {
		Cases []struct {
			A, B   []float64
			Delta  float64
			P      nan        `json:"p_tost"`
			TLower nan        `json:"t_lower"`
			PLower nan        `json:"p_lower"`
			TUpper nan        `json:"t_upper"`
			PUpper nan        `json:"p_upper"`
			DF     float64    `json:"df"`
			CI     [2]float64 `json:"ci90_mean_difference"`
			Mean   nan        `json:"mean_difference"`
		}
	}
	block(t, "tost_paired_t", &b)
	require.NotEmpty(t, b.Cases)
	const tol = 1e-7
	for _, c := range b.Cases {
		e, err := TOSTPaired(c.A, c.B, c.Delta)
		require.NoError(t, err)
		near(t, c.P, e.P, tol)
		near(t, c.TLower, e.TLower, tol)
		near(t, c.PLower, e.PLower, tol)
		near(t, c.TUpper, e.TUpper, tol)
		near(t, c.PUpper, e.PUpper, tol)
		near(t, c.Mean, e.Mean, tol)
		require.EqualValues(t, c.DF, e.DF)
		require.InDelta(t, c.CI[0], e.CI.Lo, tol)
		require.InDelta(t, c.CI[1], e.CI.Hi, tol)
		require.Equal(t, e.P < 0.05, e.CI.Within(c.Delta))
	}
}

func TestGoldenBootstrap(t *testing.T) {
	var b struct {
		Cases []struct {
			Statistic       string
			N, B            int
			Y, Pred1, Pred2 []int
			Key             string     `json:"indices_key"`
			Theta           nan        `json:"theta_hat"`
			First           []nan      `json:"replicates_first10"`
			Degenerate      int        `json:"degenerate_resamples"`
			SE              nan        `json:"se"`
			Percentile      [2]float64 `json:"percentile_95"`
			Basic           [2]float64 `json:"basic_95"`
			BCa             [2]float64 `json:"bca_95"`
			Z0              nan        `json:"bca_z0"`
			Acc             nan        `json:"bca_acceleration"`
			Percentile90    [2]float64 `json:"percentile_90_numpy_linear"`
		}
	}
	block(t, "bootstrap", &b)
	var indices map[string]Fixed
	golden(t, "boot_indices.json.gz", &indices)
	require.Len(t, b.Cases, 4)
	for _, c := range b.Cases {
		preds := [][]int{c.Pred1}
		if c.Pred2 != nil {
			preds = append(preds, c.Pred2)
		}
		boots, err := BootstrapBinary(c.Y, preds, MetricMCC, indices[c.Key], c.B)
		require.NoError(t, err)
		got := boots[0]
		if c.Pred2 != nil {
			// The block holds either order; the sign of the estimate decides.
			got, err = boots[1].Minus(boots[0])
			require.NoError(t, err)
			if math.Abs(got.Estimate-float64(c.Theta)) > tol {
				got, err = boots[0].Minus(boots[1])
				require.NoError(t, err)
			}
		}
		near(t, c.Theta, got.Estimate, tol)
		for i, r := range c.First {
			near(t, r, got.Replicates[i], tol)
		}
		require.Equal(t, c.Degenerate, got.DegenerateCount())
		near(t, c.SE, got.StdErr(), tol)
		z0, acc := got.bcaTerms()
		near(t, c.Z0, z0, 1e-7)
		near(t, c.Acc, acc, 1e-7)
		check := func(want [2]float64, v Interval, tol float64) {
			t.Helper()
			require.InDelta(t, want[0], v.Lo, tol)
			require.InDelta(t, want[1], v.Hi, tol)
		}
		check(c.Percentile, got.Percentile(0.95), tol)
		check(c.Percentile90, got.Percentile(0.90), tol)
		check(c.Basic, got.Basic(0.95), tol)
		bca, ok := got.BCa(0.95)
		require.True(t, ok)
		check(c.BCa, bca, 1e-7)
	}
}
