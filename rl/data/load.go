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
	// Columns are the names that the file has for the columns of its format: {"prompt": "question"}.
	Columns Columns `yaml:"columns,omitempty"`
	// DropUnsupported drops, and counts, keys that no template can say (tool calls, pictures), instead of
	// refusing them; rows that do not stand without them are left out.
	DropUnsupported bool `yaml:"drop_unsupported,omitempty"`
	// Split: all rows (empty), or the train or held_out part of them.
	Split SplitName `yaml:"split,omitempty"`
	// HeldOut is the share of rows in the held_out part, in (0, 1).
	HeldOut float64 `yaml:"held_out,omitempty"`
	// Limit keeps at most so many rows, drawn at random by Seed and left in file
	// order; 0 keeps all.
	Limit int `yaml:"limit,omitempty"`
	// Seed of split and limit.
	Seed uint64 `yaml:"seed,omitempty"`

	note string       // what the user has to know of how the format was chosen
	why  string       // it was
	seen *columnsSeen // counts columns where somebody asks
	rest bool         // other columns are kept
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
	if s.Path == "" {
		return fmt.Errorf("data: path: want the path of a data file, got none")
	}
	return s.Check()
}

// Check is Validate for a source that may have no path.
func (s Source) Check() error {
	switch {
	case s.Format != "" && !slices.Contains(s.Format.Values(), string(s.Format)):
		return fmt.Errorf("data: format: want one of %v, got %q", s.Format.Values(), s.Format)
	case s.Split != "" && !slices.Contains(s.Split.Values(), string(s.Split)):
		return fmt.Errorf("data: split: want one of %v, got %q", s.Split.Values(), s.Split)
	case s.Limit < 0:
		return fmt.Errorf("data: limit: want 0 (all rows) or more, got %d", s.Limit)
	case (s.Split == SplitTrain || s.Split == SplitHeldOut) && !(s.HeldOut > 0 && s.HeldOut < 1):
		return fmt.Errorf("data: held_out: split %q needs a share in (0, 1), got %g", s.Split, s.HeldOut)
	}
	return s.Columns.check(s.Format)
}

// Resolve validates the source, finds its file and recognises its format, which has
// to be one of those wanted, if some are. Where its columns are those of several formats, the one that is wanted is
// taken, and said in the notes of what is loaded.
func (s Source) Resolve(wanted ...Format) (Source, error) {
	if err := s.Validate(); err != nil {
		return s, err
	}
	found, err := Resolve(s.Path)
	if err != nil {
		return s, err
	}
	s.Path = found
	s.why = "it is given"
	if s.Format == "" || s.Format == FormatAuto {
		d, err := detectFile(found, s.Columns)
		if err != nil {
			return s, err
		}
		if s.Format, s.note, err = d.choose(wanted); err != nil {
			return s, err
		}
		s.why = d.why(s.Format, s.Columns)
		if err := s.Columns.check(s.Format); err != nil {
			return s, err
		}
	}
	if len(wanted) > 0 && !slices.Contains(wanted, s.Format) {
		names := make([]string, len(wanted))
		for i, f := range wanted {
			names[i] = string(f)
		}
		return s, &Error{Format: s.Format, Path: found, Want: fmt.Sprintf("one of the formats %v", names),
			Got: s.Format.Title(), Mend: insteadOf(s.Format, wanted), Err: ErrWrongFormat}
	}
	return s, nil
}

// insteadOf says what helps where a file is of a format that is not wanted.
func insteadOf(format Format, wanted []Format) string {
	learns := slices.Contains(wanted, FormatCompletion) && !slices.Contains(wanted, FormatPrompts)
	switch {
	case learns && format == FormatKTO:
		return "name another file, or, to learn every answer whatever its label is, set format: completion"
	case learns && format == FormatPairs:
		return "name another file, or, to learn the better answers, set format: completion and " +
			"columns: {completion: chosen} (where these hold whole conversations: format: chat and " +
			"columns: {messages: chosen})"
	case learns && format == FormatPrompts:
		return "name another file: this one has no answers to learn"
	}
	return "name another file"
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

// PromptFormats are the formats that ask something, those of dialogues first.
func PromptFormats() []Format {
	return append(ConversationFormats(), FormatPrompts, FormatPairs, FormatHH, FormatKTO, FormatRanked, FormatText)
}

// PairFormats are the formats of preferences.
func PairFormats() []Format {
	return []Format{FormatPairs, FormatTokenPairs, FormatHH, FormatRanked, FormatKTO}
}

func readConversations(src Source) (rows []Conversation, notes []string, err error) {
	switch src.Format {
	case FormatGuanaco:
		rows, err = ReadGuanaco(src.Path)
	case FormatGuanacoParquet:
		rows, err = ReadGuanacoParquet(src.Path)
	default:
		rows, notes, err = readShapes(src)
	}
	if src.Format == FormatPrompts {
		return rows, append(notes, repeated(rows)...), err
	}
	return rows, append(notes, oddConversations(rows)...), err
}

// LoadConversations reads a source of dialogues, see ConversationFormats.
func LoadConversations(s Source) ([]Conversation, Loaded, error) {
	return load(s, readConversations, ConversationFormats()...)
}

// LoadPrompts reads what is asked, see PromptFormats: of dialogues all messages, of the others the prompt.
func LoadPrompts(s Source) ([]Conversation, Loaded, error) {
	return load(s, readPrompts, PromptFormats()...)
}

// LoadPromptRows is LoadPrompts with the other columns of each row, see [Conversation]. Files whose rows have a form of
// their own, such as hh-rlhf and guanaco, have none.
func LoadPromptRows(s Source) ([]Conversation, Loaded, error) {
	s.rest = true
	return LoadPrompts(s)
}

// load reads a source and applies its split and limit.
func load[T any](s Source, read func(Source) ([]T, []string, error), wanted ...Format) ([]T, Loaded, error) {
	s, err := s.Resolve(wanted...)
	if err != nil {
		return nil, Loaded{}, err
	}
	rows, notes, err := read(s)
	if err != nil {
		return nil, Loaded{}, err
	}
	if s.note != "" {
		notes = append([]string{s.note}, notes...)
	}
	rows, info, err := choose(s, rows)
	info.Notes = notes
	return rows, info, err
}

// LoadPairs reads a source of preference pairs: pairs, hh-rlhf or token-pairs.
// (Other files become pairs by the recipes of package rewards.)
func LoadPairs(s Source) ([]Pair, Loaded, error) {
	return load(s, func(s Source) (rows []Pair, notes []string, err error) {
		switch s.Format {
		case FormatHH:
			dialogues, _, err := ReadHH(s.Path)
			for _, h := range dialogues {
				rows = append(rows, h.Pair(s.Path))
			}
			return rows, nil, err
		case FormatPairs:
			return readPairs(s)
		}
		return readTokenPairs(s)
	}, FormatPairs, FormatHH, FormatTokenPairs)
}

// LoadTokens reads a source of pre-tokenised examples.
func LoadTokens(s Source) ([]Example, Loaded, error) { return load(s, readTokens, FormatTokens) }
