package metrics

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"steer/internal/stats"
	"steer/rl/run"
)

// Predictions holds what the two-class measures need, one element an item.
type Predictions struct {
	Gold, Pred []int     // 0 or 1; a refusal is scored as wrong
	Score      []float64 // higher = class 1; nil if there is none
}

// PredictionsOf reads two-class records. A refusal or a tie becomes the wrong class: dropping
// it would compare models on different items. The score is the raw reward score, or the
// difference of the two choices' scores or log-probabilities.
func PredictionsOf(records []run.Item) Predictions {
	var x Predictions
	for _, r := range records {
		pred := r.Pred
		if r.Refused || r.Tie {
			pred = 1 - r.Gold
		}
		x.Gold, x.Pred = append(x.Gold, r.Gold), append(x.Pred, pred)
		switch {
		case r.Score != nil:
			x.Score = append(x.Score, *r.Score)
		case len(r.Scores) == 2:
			x.Score = append(x.Score, r.Scores[1]-r.Scores[0])
		case len(r.LogProbs) == 2:
			x.Score = append(x.Score, r.LogProbs[1]-r.LogProbs[0])
		}
	}
	return x
}

// AddBinary stores the two-class measures: MCC with analytic error and bootstrap
// interval, balanced accuracy, F1, macro-F1, kappa, AUC, the rate of class 1 among
// predictions and gold labels, the accuracy of the majority class, and flags.
func (s *Summary) AddBinary(x Predictions) error {
	table, err := stats.CountBinary(x.Gold, x.Pred)
	if err != nil {
		return err
	}
	n := table.N()
	positives := table.TP + table.FN
	mcc, degenerate := table.MCC()
	s.Set("mcc", mcc)
	s.Set("balanced_acc", table.BalancedAccuracy())
	s.Set("f1", table.F1())
	s.Set("macro_f1", table.MacroF1())
	s.Set("kappa", table.Kappa())
	s.Set("gold_yes", float64(positives)/float64(n))
	s.Set("majority_acc", float64(max(positives, n-positives))/float64(n))
	for name, k := range map[string]int{"tp": table.TP, "tn": table.TN, "fp": table.FP, "fn": table.FN} {
		s.Set(name, float64(k))
	}
	if positives == 0 || positives == n {
		s.Flag("one_class")
	}
	s.AddPredicted(table.TP+table.FP, n)
	if x.Score != nil {
		auc, err := stats.AUC(x.Gold, x.Score)
		if err != nil && !errors.Is(err, stats.ErrOneClass) {
			return err
		}
		s.Set("auc", auc)
	}
	if degenerate {
		return nil
	}
	return s.mccIntervals(table, x)
}

// mccIntervals stores the analytic and the bootstrap interval of the MCC, and the
// bootstrap interval of the balanced accuracy. BCa where it exists, else the
// percentile interval; which one is written down.
func (s *Summary) mccIntervals(table stats.Binary, x Predictions) error {
	mcc, _ := table.MCC()
	se := table.MCCStdErr()
	s.Set("mcc_stderr", se)
	z := distuv.UnitNormal.Quantile((1 + s.Settings.Confidence) / 2)
	s.SetInterval("mcc_analytic", math.Max(-1, mcc-z*se), math.Min(1, mcc+z*se))

	src, err := s.Resamples(len(x.Gold))
	if err != nil {
		return err
	}
	for name, metric := range map[string]stats.BinaryMetric{
		"mcc": stats.MetricMCC, "balanced_acc": stats.MetricBalancedAccuracy,
	} {
		boot, err := stats.BootstrapBinary(x.Gold, [][]int{x.Pred}, metric, src, s.Settings.Resamples)
		if err != nil {
			return err
		}
		v, ok := boot[0].BCa(s.Settings.Confidence)
		s.SetInterval(name, v.Lo, v.Hi)
		kind := "bca"
		if !ok {
			kind = "percentile"
		}
		s.Provenance.Set(name+"_interval", kind)
		if name == "mcc" {
			s.Set("mcc_degenerate_resamples", float64(boot[0].DegenerateCount()))
		}
	}
	return nil
}

// AddAUCError stores the standard error of the AUC (DeLong et al. 1988) and the normal
// interval from it.
func (s *Summary) AddAUCError(x Predictions) error {
	auc, known := s.Metrics["auc"]
	if !known {
		return nil
	}
	se, err := stats.AUCStdErr(x.Gold, x.Score)
	if err != nil {
		return err
	}
	s.Set("auc_stderr", se)
	z := distuv.UnitNormal.Quantile((1 + s.Settings.Confidence) / 2)
	s.SetInterval("auc", math.Max(0, auc-z*se), math.Min(1, auc+z*se))
	return nil
}

// AddPredicted stores the rate of class 1 among n predictions, said of them that class, and
// flags a constant prediction.
func (s *Summary) AddPredicted(said, n int) {
	s.AddShare("predicted_yes", said, n)
	if said == 0 || said == n {
		s.Flag("degenerate")
	}
}

// DropPredicted takes back what [Summary.AddPredicted] stored. Where items were not decided,
// they predict the wrong class in the arithmetic of the MCC, but that is nothing that a
// model said: the rate has to be that of the decided ones.
func (s *Summary) DropPredicted() {
	delete(s.Intervals, "predicted_yes")
	delete(s.Metrics, "predicted_yes")
	s.Flags = slices.DeleteFunc(s.Flags, func(w string) bool { return w == "degenerate" })
}
