package rollout

import (
	"fmt"
	"slices"

	"steer/rl/train"
)

// Check notes every field that cannot be used, with what was expected.
func (s *Sampling) Check(check *train.Checks) {
	check.Enum("logprob_temperature", s.LogprobTemperature)
	check.Enum("length_draw", s.LengthDraw)
	check.Enum("eos", s.EOS)
	for _, f := range []struct {
		key   string
		v     int
		least int64
	}{
		{"max_new_tokens", s.MaxNewTokens, 1},
		{"min_new_tokens", s.MinNewTokens, 0},
		{"length_group", s.LengthGroup, 1},
		{"top_k", s.TopK, 0},
	} {
		check.AtLeast(f.key, int64(f.v), f.least)
	}
	for _, f := range []struct {
		key  string
		v    float64
		ok   bool
		want string
	}{
		{"temperature", float64(s.Temperature), s.Temperature > 0, "more than 0: a policy learns from samples, not " +
			"from the likeliest answer"},
		{"top_p", float64(s.TopP), s.TopP >= 0 && s.TopP <= 1, "0 to 1 (0 or 1: off)"},
		{"min_p", float64(s.MinP), s.MinP >= 0 && s.MinP < 1, "at least 0 (off) and less than 1"},
		{"missing_eos_penalty", s.MissingEOSPenalty, s.MissingEOSPenalty >= 0, "at least 0"},
	} {
		check.Number(f.key, f.v, f.ok, f.want)
	}
	s.checkTogether(check)
}

// checkTogether checks settings that have a meaning only beside others.
func (s *Sampling) checkTogether(check *train.Checks) {
	if s.LengthDraw == LengthFixed && s.MinNewTokens != 0 {
		check.Want("min_new_tokens", "0 with length_draw fixed (or length_draw sample)", s.MinNewTokens)
	}
	if s.LengthDraw != LengthFixed && (s.MinNewTokens < 1 || s.MinNewTokens > s.MaxNewTokens) {
		check.Want("min_new_tokens", fmt.Sprintf("1 to max_new_tokens %d with length_draw %s", s.MaxNewTokens,
			s.LengthDraw), s.MinNewTokens)
	}
	if s.LengthDraw != LengthGroup && s.LengthGroup != 1 {
		check.Want("length_group", "1 unless length_draw is group", s.LengthGroup)
	}
	if s.EOS == EOSCut && len(s.StopStrings) > 0 {
		check.Want("stop_strings", "none with eos cut (or eos stop)", s.StopStrings)
	}
	if slices.Contains(s.StopStrings, "") {
		check.Want("stop_strings", "no empty string", fmt.Sprintf("%q", s.StopStrings))
	}
	if s.truncates() && !s.AllowTruncatedSampling {
		check.Bad("top_k %d, top_p %v, min_p %v: a truncated sampler draws from another distribution than the "+
			"log-probabilities describe, and the KL comes out wrong: set all three to 0, or "+
			"allow_truncated_sampling: true",
			s.TopK, s.TopP, s.MinP)
	}
}

// truncates: the sampler leaves tokens out that the policy gives a probability.
func (s *Sampling) truncates() bool {
	return s.TopK > 0 || s.TopP > 0 && s.TopP < 1 || s.MinP > 0
}

// Check notes every field that cannot be used, with what was expected. dropout: masks are random in the policy's
// passes.
func (g *Guards) Check(check *train.Checks, dropout bool) {
	check.AtLeast("repetition_ngram", int64(g.RepetitionNgram), 1)
	check.AtLeast("alarm_patience", int64(g.AlarmPatience), 1)
	for _, f := range []struct {
		key  string
		v    float64
		ok   bool
		want string
	}{
		{"ratio_tolerance", g.RatioTolerance, g.RatioTolerance >= 0, "at least 0 (0: not checked)"},
		{"ratio_outliers", g.RatioOutliers, g.RatioOutliers >= 0 && g.RatioOutliers < 1,
			"a share of tokens, at least 0 and less than 1"},
		{"max_kl", g.MaxKL, g.MaxKL >= 0, "at least 0 (0: off)"},
		{"min_entropy_ratio", g.MinEntropyRatio, g.MinEntropyRatio >= 0 && g.MinEntropyRatio < 1,
			"at least 0 (off) and less than 1"},
		{"max_entropy_ratio", g.MaxEntropyRatio, g.MaxEntropyRatio == 0 || g.MaxEntropyRatio > 1,
			"0 (off) or more than 1"},
		{"max_score", g.MaxScore, g.MaxScore >= 0, "at least 0 (0: off)"},
		{"max_repetition_rise", g.MaxRepetitionRise, g.MaxRepetitionRise >= 0 && g.MaxRepetitionRise <= 1,
			"0 (off) to 1"},
	} {
		check.Number(f.key, f.v, f.ok, f.want)
	}
	if dropout && g.RatioTolerance > 0 {
		check.Want("ratio_tolerance", "0 with dropout true: random masks make the ratio of the first mini-batch "+
			"differ from 1", g.RatioTolerance)
	}
}

// Check notes every field that cannot be used, with what was expected.
func (r *Record) Check(check *train.Checks) {
	for _, f := range []struct {
		key string
		v   int64
	}{
		{"samples_every", r.SamplesEvery},
		{"samples_count", int64(r.SamplesCount)},
		{"checkpoint_every", r.CheckpointEvery},
		{"heldout_every", r.HeldoutEvery},
	} {
		check.AtLeast(f.key, f.v, 0)
	}
}
