package data

import (
	"fmt"
	"slices"
)

// SplitName says which part of a file is used.
type SplitName string

// The parts. Train and held_out of the same file, seed and held_out share are
// complementary: no row is in both.
const (
	SplitAll     SplitName = "all"
	SplitTrain   SplitName = "train"
	SplitHeldOut SplitName = "held_out"
)

// Values lists the parts.
func (SplitName) Values() []string {
	return []string{string(SplitAll), string(SplitTrain), string(SplitHeldOut)}
}

// Source names data in a configuration file.
type Source struct {
	// Path of the file; plain, .gz or .zst.
	Path string `yaml:"path"`
	// Format of the file; empty or "auto" recognises it.
	Format Format `yaml:"format,omitempty"`
	// Split: all rows (empty), or the train or held_out part of them.
	Split SplitName `yaml:"split,omitempty"`
	// HeldOut is the share of rows in the held_out part, in (0, 1).
	HeldOut float64 `yaml:"held_out,omitempty"`
	// Limit keeps at most so many rows, drawn at random by Seed and left in file
	// order; 0 keeps all.
	Limit int `yaml:"limit,omitempty"`
	// Seed of split and limit.
	Seed uint64 `yaml:"seed,omitempty"`
}

// Loaded says what became of the rows of a Source.
type Loaded struct {
	Path   string `json:"path"`
	Format Format `json:"format"`
	Rows   int    `json:"rows"` // in the file
	Kept   int    `json:"kept"` // after split and limit
	// Notes count the odd cases of the file that were met and kept, keys that were not
	// read among them; they are printed, never swallowed.
	Notes []string `json:"notes,omitempty"`
}

// Validate checks the fields against each other.
func (s Source) Validate() error {
	switch {
	case s.Path == "":
		return fmt.Errorf("data: path: want the path of a data file, got none")
	case s.Format != "" && !slices.Contains(s.Format.Values(), string(s.Format)):
		return fmt.Errorf("data: format: want one of %v, got %q", s.Format.Values(), s.Format)
	case s.Split != "" && !slices.Contains(s.Split.Values(), string(s.Split)):
		return fmt.Errorf("data: split: want one of %v, got %q", s.Split.Values(), s.Split)
	case s.Limit < 0:
		return fmt.Errorf("data: limit: want 0 (all rows) or more, got %d", s.Limit)
	case (s.Split == SplitTrain || s.Split == SplitHeldOut) && !(s.HeldOut > 0 && s.HeldOut < 1):
		return fmt.Errorf("data: held_out: split %q needs a share in (0, 1), got %g", s.Split, s.HeldOut)
	}
	return nil
}

// Resolve validates the source, finds its file and recognises its format, which has
// to be one of those wanted.
func (s Source) Resolve(wanted ...Format) (Source, error) {
	if err := s.Validate(); err != nil {
		return s, err
	}
	found, err := Resolve(s.Path)
	if err != nil {
		return s, err
	}
	s.Path = found
	if s.Format == "" || s.Format == FormatAuto {
		if s.Format, err = Detect(found); err != nil {
			return s, err
		}
	}
	if !slices.Contains(wanted, s.Format) {
		names := make([]string, len(wanted))
		for i, f := range wanted {
			names[i] = string(f)
		}
		return s, &Error{Format: s.Format, Path: found, Want: fmt.Sprintf("one of the formats %v", names),
			Got: s.Format.Title(), Mend: "name another file", Err: ErrWrongFormat}
	}
	return s, nil
}

// Part applies the split to n items and gives the indices of the wanted part, ascending.
func (s Source) Part(n int) []int {
	if s.Split == SplitTrain || s.Split == SplitHeldOut {
		train, held := Split(n, s.HeldOut, s.Seed)
		if s.Split == SplitHeldOut {
			return held
		}
		return train
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Sample draws k of n indices at random by seed, ascending; all of them for k = 0 or k >= n.
func Sample(n, k int, seed uint64) []int {
	if k <= 0 || k >= n {
		k = n
	}
	picked := Permutation(n, seed)[:k]
	slices.Sort(picked)
	return picked
}

func choose[T any](s Source, rows []T) ([]T, Loaded, error) {
	part := s.Part(len(rows))
	keep := Sample(len(part), s.Limit, s.Seed)
	for i, k := range keep {
		keep[i] = part[k]
	}
	info := Loaded{Path: s.Path, Format: s.Format, Rows: len(rows), Kept: len(keep)}
	if len(keep) == 0 {
		return nil, info, &Error{Format: s.Format, Path: s.Path, Want: "at least one row after split and limit",
			Got: fmt.Sprintf("none of %d", len(rows)), Mend: "raise held_out or use the other split", Err: ErrEmpty}
	}
	out := make([]T, len(keep))
	for i, k := range keep {
		out[i] = rows[k]
	}
	return out, info, nil
}

// ConversationFormats are the formats of dialogues.
func ConversationFormats() []Format {
	return []Format{FormatGuanaco, FormatGuanacoParquet, FormatChat, FormatShareGPT, FormatAlpaca, FormatCompletion}
}

func readConversations(path string, format Format) (rows []Conversation, notes []string, err error) {
	switch format {
	case FormatGuanaco:
		rows, err = ReadGuanaco(path)
	case FormatGuanacoParquet:
		rows, err = ReadGuanacoParquet(path)
	case FormatChat:
		rows, notes, err = ReadChat(path)
	case FormatShareGPT:
		rows, notes, err = ReadShareGPT(path)
	case FormatAlpaca:
		rows, notes, err = ReadAlpaca(path)
	default:
		rows, notes, err = ReadCompletion(path)
	}
	return rows, append(notes, oddConversations(rows)...), err
}

// LoadConversations reads a source of dialogues, see ConversationFormats.
func LoadConversations(s Source) ([]Conversation, Loaded, error) {
	s, err := s.Resolve(ConversationFormats()...)
	if err != nil {
		return nil, Loaded{}, err
	}
	rows, notes, err := readConversations(s.Path, s.Format)
	if err != nil {
		return nil, Loaded{}, err
	}
	rows, info, err := choose(s, rows)
	info.Notes = notes
	return rows, info, err
}

// LoadPairs reads a source of preference pairs: pairs, hh-rlhf or token-pairs.
// (ETHICS files become pairs by the recipes of package rewards.)
func LoadPairs(s Source) ([]Pair, Loaded, error) {
	s, err := s.Resolve(FormatPairs, FormatHH, FormatTokenPairs)
	if err != nil {
		return nil, Loaded{}, err
	}
	var rows []Pair
	var notes []string
	switch s.Format {
	case FormatHH:
		var dialogues []HH
		dialogues, _, err = ReadHH(s.Path)
		for _, h := range dialogues {
			rows = append(rows, h.Pair(s.Path))
		}
	case FormatPairs:
		rows, notes, err = ReadPairs(s.Path)
	default:
		rows, err = ReadTokenPairs(s.Path)
	}
	if err != nil {
		return nil, Loaded{}, err
	}
	rows, info, err := choose(s, rows)
	info.Notes = notes
	return rows, info, err
}

// LoadTokens reads a source of pre-tokenised examples.
func LoadTokens(s Source) ([]Example, Loaded, error) {
	s, err := s.Resolve(FormatTokens)
	if err != nil {
		return nil, Loaded{}, err
	}
	rows, err := ReadTokens(s.Path)
	if err != nil {
		return nil, Loaded{}, err
	}
	return choose(s, rows)
}
