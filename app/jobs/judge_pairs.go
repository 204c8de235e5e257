package jobs

import (
	"fmt"

	"steer/app/workspace"
	"steer/eval/judge"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/run"
)

// judged is the pairs of a run, where they are from, and what the judge made of them.
type judged struct {
	pairs      []judge.Pair
	judgements []judge.Judgement
	source     run.PairSource
	files      []run.DataFile
	theory     rewards.TheoryName // how a file was read
	sampled    *run.SampledAnswers
	candidates []data.Ranked // answers that were sampled
}

// readPairs reads a file of pairs, or of several answers to each prompt.
func (j *Judge) readPairs(w *workspace.Workspace) (judged, error) {
	set := judged{theory: j.theory()}
	theory, err := rewards.Lookup(set.theory)
	if err != nil {
		return set, err
	}
	src, err := j.Pairs.Resolve(theory.Formats...)
	if err != nil {
		return set, fmt.Errorf("judge: pairs: %w", err)
	}
	if src.Format == data.FormatRanked {
		err = j.readCandidates(src, &set)
	} else {
		var part rewards.Part
		part, err = rewards.LoadPart(set.theory, j.Pairs, j.Recipe, j.Seed)
		set.pairs, set.source = judge.Of(part.Pairs, j.Labelled), part.Info
	}
	if err != nil {
		return set, fmt.Errorf("judge: pairs: %w", err)
	}
	w.NoteData(data.Loaded{Path: set.source.Path, Notes: set.source.Notes})
	set.files = []run.DataFile{{Path: set.source.Path, Role: "pairs", Rows: set.source.Rows, Used: set.source.Pairs}}
	return set, nil
}

// theory is how the pairs are read: as is said, or as the format of a release has it.
func (j *Judge) theory() rewards.TheoryName {
	if j.Theory != "" {
		return j.Theory
	}
	format := j.Pairs.Format
	if format == "" || format == data.FormatAuto {
		path, err := data.Resolve(j.Pairs.Path)
		if err != nil {
			return rewards.Custom // loading complains
		}
		if format, err = data.Detect(path); err != nil {
			return rewards.Custom
		}
	}
	for _, t := range rewards.Theories() {
		if len(t.Formats) == 1 && t.Formats[0] == format {
			return t.Name
		}
	}
	return rewards.Custom
}

// readCandidates reads several answers to each prompt, with scores or without. The split goes by row.
func (j *Judge) readCandidates(src data.Source, set *judged) error {
	one, err := recipeOfAnswers(j.Recipe)
	if err != nil {
		return err
	}
	rows, notes, err := data.ReadCandidates(src)
	if err != nil {
		return err
	}
	part := src.Part(len(rows))
	wanted := make([]data.Ranked, len(part))
	for i, at := range part {
		wanted[i] = rows[at]
	}
	set.source = run.PairSource{Path: src.Path, Format: string(src.Format), Recipe: recipeName(one), Rows: len(rows),
		Groups: len(wanted), Notes: notes}
	set.make(wanted, one, j.Seed)
	set.limit(src)
	if !j.Labelled {
		for i := range set.pairs {
			set.pairs[i].Labelled = false
		}
	}
	return set.none()
}

// make makes pairs of answers.
func (s *judged) make(rows []data.Ranked, one bool, runSeed uint64) {
	s.pairs, s.source.Identical = judge.Pairs(rows, one, runSeed)
	s.source.Built = len(s.pairs) + s.source.Identical
	s.seal()
}

// limit takes as many pairs as a source has for its limit.
func (s *judged) limit(src data.Source) {
	kept := rewards.Sample(len(s.pairs), src)
	pairs := make([]judge.Pair, len(kept))
	for i, at := range kept {
		pairs[i] = s.pairs[at]
	}
	s.pairs = pairs
	s.seal()
}

func (s *judged) seal() {
	all := make([]data.Pair, len(s.pairs))
	for i, p := range s.pairs {
		all[i] = p.Pair
	}
	s.source.Pairs, s.source.SHA256 = len(all), rewards.HashPairs(all)
}

// none is the error of no pair.
func (s *judged) none() error {
	if len(s.pairs) > 0 {
		return nil
	}
	return fmt.Errorf("%s: %w: %d rows gave no pair; %d pairs are of equal answers", s.source.Path, data.ErrEmpty,
		s.source.Rows, s.source.Identical)
}

// recipeOfAnswers tells of several answers to a prompt whether one pair is drawn.
func recipeOfAnswers(r rewards.Recipe) (one bool, err error) {
	switch r {
	case "", rewards.RecipeCross:
		return false, nil
	case rewards.RecipeOne:
		return true, nil
	}
	return false, fmt.Errorf("recipe: of several answers to a prompt: want %s or %s, got %q", rewards.RecipeCross,
		rewards.RecipeOne, r)
}

func recipeName(one bool) string {
	if one {
		return string(rewards.RecipeOne)
	}
	return string(rewards.RecipeCross)
}
