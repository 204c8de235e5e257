package rewards

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/run"
)

// Part is the pairs of one part of the data and where they are from.
type Part struct {
	Pairs []data.Pair
	Info  run.PairSource
}

// Set is what a reward model is trained and measured on.
type Set struct {
	Theory  Theory
	Train   Part
	HeldOut Part
	Overlap Overlap
}

// Load makes the pairs of a configuration. Everything in it is a function of the
// files and the configuration: same input, same pairs, same hash.
func Load(cfg Config) (*Set, error) {
	theory, err := cfg.theory()
	if err != nil {
		return nil, err
	}
	set := &Set{Theory: theory}
	trainSource, heldSource := cfg.sources()
	if set.Train, err = theory.load(trainSource, cfg.Recipe, cfg.Seed); err != nil {
		return nil, fmt.Errorf("rewards: train: %w", err)
	}
	if set.HeldOut, err = theory.load(heldSource, cfg.Recipe, cfg.Seed); err != nil {
		return nil, fmt.Errorf("rewards: held_out: %w", err)
	}
	set.Overlap = OverlapOf(set.Train.Pairs, set.HeldOut.Pairs)
	if cfg.DropOverlap {
		set.HeldOut.keep(set.Overlap.clean)
		if len(set.HeldOut.Pairs) == 0 {
			return nil, fmt.Errorf("rewards: drop_overlap: none of %d held-out pairs is free of overlap with the "+
				"train pairs; turn drop_overlap off", set.Overlap.Pairs)
		}
		set.Overlap = OverlapOf(set.Train.Pairs, set.HeldOut.Pairs)
	}
	return set, nil
}

// LoadPart makes the pairs of one source, as a theory reads it.
func LoadPart(theory TheoryName, src data.Source, recipe Recipe, runSeed uint64) (Part, error) {
	t, err := Lookup(theory)
	if err != nil {
		return Part{}, err
	}
	return t.load(src, recipe, runSeed)
}

// load reads one source and applies split (to groups), recipe and limit (to pairs).
func (t Theory) load(src data.Source, recipe Recipe, runSeed uint64) (Part, error) {
	src, err := src.Resolve(t.Formats...)
	if err != nil {
		return Part{}, err
	}
	recipe, err = t.recipeFor(recipe, src.Format)
	if err != nil {
		return Part{}, err
	}
	info := run.PairSource{Path: src.Path, Format: string(src.Format), Recipe: string(recipe)}
	var pairs []data.Pair
	switch src.Format {
	case data.FormatDeontology, data.FormatVirtue:
		rows, err := t.labelledRows(src)
		if err != nil {
			return Part{}, err
		}
		groups := t.groups(rows)
		// The split goes by scenario, so that no scenario is on both sides.
		wanted := pick(groups, src.Part(len(groups)))
		info.Rows, info.Groups = len(rows), len(wanted)
		pairs = t.pairs(wanted, recipe, runSeed, src.Path)
	case data.FormatUtilitarianism:
		rows, err := data.ReadUtilitarianism(src.Path)
		if err != nil {
			return Part{}, err
		}
		wanted := pick(rows, src.Part(len(rows)))
		info.Rows, info.Groups = len(rows), len(wanted)
		for _, r := range wanted {
			pairs = append(pairs, t.reported(r, src.Path))
		}
	case data.FormatToxiGen:
		rows, err := data.ReadToxiGen(src.Path)
		if err != nil {
			return Part{}, err
		}
		wanted := pick(rows, src.Part(len(rows)))
		info.Rows, info.Groups = len(rows), len(wanted)
		for _, r := range wanted {
			pairs = append(pairs, t.statement(r, src.Path))
		}
	case data.FormatRanked:
		if pairs, err = rankedPairs(src, recipe, runSeed, &info); err != nil {
			return Part{}, err
		}
	case data.FormatKTO:
		if pairs, err = labelledPairs(src, recipe, runSeed, &info); err != nil {
			return Part{}, err
		}
	default:
		limit := src.Limit
		src.Limit = 0
		loaded, counts, err := data.LoadPairs(src)
		if err != nil {
			return Part{}, err
		}
		src.Limit = limit
		pairs, info.Rows, info.Groups, info.Notes = loaded, counts.Rows, counts.Kept, counts.Notes
	}
	info.Built = len(pairs)
	part := Part{Pairs: pairs, Info: info}
	part.keep(differs)
	part.Info.Identical = info.Built - len(part.Pairs)
	part.Pairs = pick(part.Pairs, Sample(len(part.Pairs), src))
	part.seal()
	if len(part.Pairs) == 0 {
		return Part{}, noPair(src.Path, recipe, info)
	}
	return part, nil
}

// Sample gives the indices of the pairs of n that a source's limit leaves.
func Sample(n int, src data.Source) []int {
	return data.Sample(n, src.Limit, seed.Derive(src.Seed, "reward.limit"))
}

// differs holds for pairs whose sides are not the same, and for answers with a label.
func differs(p data.Pair) bool {
	return p.ChosenIDs != nil || p.Missing != data.SideNone && p.Prompt != "" || p.Chosen != p.Rejected ||
		p.ChosenTurns != nil && !slices.Equal(p.ChosenTurns, p.RejectedTurns)
}

// noPair says why rows gave no pair.
func noPair(path string, recipe Recipe, info run.PairSource) error {
	why := ""
	if len(info.Notes) > 0 {
		why = ": " + strings.Join(info.Notes, "; ")
	}
	return fmt.Errorf("%s: %w: %d rows gave no pair with recipe %s%s", path, data.ErrEmpty, info.Rows, recipe, why)
}

func (t Theory) labelledRows(src data.Source) ([]labelled, error) {
	var out []labelled
	if src.Format == data.FormatDeontology {
		rows, err := data.ReadDeontology(src.Path)
		for _, r := range rows {
			out = append(out, labelled{r.Scenario, r.Excuse, r.Label, r.Line})
		}
		return out, err
	}
	rows, err := data.ReadVirtue(src.Path)
	for _, r := range rows {
		out = append(out, labelled{r.Scenario, r.Trait, r.Label, r.Line})
	}
	return out, err
}

// keep leaves the pairs for which wanted holds.
func (p *Part) keep(wanted func(data.Pair) bool) {
	kept := make([]data.Pair, 0, len(p.Pairs))
	for _, pair := range p.Pairs {
		if wanted(pair) {
			kept = append(kept, pair)
		}
	}
	p.Pairs = kept
	p.seal()
}

func (p *Part) seal() {
	p.Info.Pairs = len(p.Pairs)
	p.Info.SHA256 = HashPairs(p.Pairs)
}

func pick[T any](all []T, wanted []int) []T {
	out := make([]T, len(wanted))
	for i, w := range wanted {
		out[i] = all[w]
	}
	return out
}

// HashPairs is the SHA-256, in hexadecimal, over prompt, chosen and rejected of every
// pair in order; see [data.Fingerprint]. Two runs with equal hashes saw equal pairs.
func HashPairs(pairs []data.Pair) string {
	f := data.NewFingerprint()
	for _, p := range pairs {
		f.Text(p.Prompt)
		f.Text(p.Chosen)
		f.Text(p.Rejected)
		f.IDs(p.ChosenIDs)
		f.IDs(p.RejectedIDs)
	}
	return f.Sum()
}
