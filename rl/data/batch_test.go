package data

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
)

func example(mask string, ids ...int32) Example {
	e := Example{IDs: ids, Mask: make([]bool, len(ids))}
	for i := range e.Mask {
		e.Mask[i] = mask[i] == '1'
	}
	return e
}

func TestFit(t *testing.T) {
	in := []Example{example("011", 1, 2, 3), example("01111", 1, 2, 3, 4, 5), example("00", 8, 9),
		example("00001", 1, 2, 3, 4, 5)}
	for policy, want := range map[Overlong]Counts{
		OverlongDrop:         {In: 4, Kept: 1, Dropped: 2, NoTargets: 1, Tokens: 3, Targets: 2},
		OverlongTruncate:     {In: 4, Kept: 2, Truncated: 1, NoTargets: 2, Tokens: 6, Targets: 4},
		OverlongTruncateLeft: {In: 4, Kept: 3, Truncated: 2, NoTargets: 1, Tokens: 9, Targets: 5},
	} {
		out, counts, err := Fit(in, 3, policy)
		require.NoError(t, err)
		require.Equal(t, want, counts, policy)
		require.Len(t, out, counts.Kept)
	}
	out, _, err := Fit(in, 3, OverlongTruncateLeft)
	require.NoError(t, err)
	require.Equal(t, []int32{3, 4, 5}, out[1].IDs)
	require.Equal(t, []bool{true}, in[1].Mask[2:3], "the input is not changed")
	_, _, err = Fit(in, 3, OverlongError)
	require.ErrorIs(t, err, ErrOverlong)
	_, _, err = Fit(in, 1, OverlongDrop)
	require.ErrorContains(t, err, "max_tokens")
	_, _, err = Fit(in, 3, "shorten")
	require.ErrorContains(t, err, "truncate_left")
}

func TestPackIsolated(t *testing.T) {
	in := []Example{example("0111", 1, 2, 3, 4), example("011", 5, 6, 7), example("01", 8, 9), example("01", 10, 11)}
	blocks, counts, err := PackIsolated(in, 6)
	require.NoError(t, err)
	require.Equal(t, []Block{{in[0], in[2]}, {in[1], in[3]}}, blocks)
	require.Equal(t, Counts{In: 4, Kept: 4, Tokens: 11, Targets: 7, Blocks: 2}, counts)
	_, _, err = PackIsolated(in, 3)
	require.ErrorIs(t, err, ErrOverlong)
}

func TestPackRunOn(t *testing.T) {
	in := []Example{example("01", 10, 11), example("011", 20, 21, 22), example("001", 30, 31, 32)}
	const eos = 9
	blocks, counts, err := PackRunOn(in, 4, eos, false)
	require.NoError(t, err)
	// stream: 10 11 9 20 | 21 22 9 30 | 31 32 9, the beginning of a document counts
	// when the rest of it does, the end token counts when the last token does.
	require.Equal(t, []int32{10, 11, 9, 20}, blocks[0][0].IDs)
	require.Equal(t, []bool{false, true, true, true}, blocks[0][0].Mask)
	require.Equal(t, []int32{21, 22, 9, 30}, blocks[1][0].IDs)
	require.Equal(t, []bool{false, true, true, false}, blocks[1][0].Mask)
	require.Equal(t, Counts{In: 3, Kept: 3, Tokens: 8, Targets: 5, Blocks: 2, Remainder: 3}, counts)
	blocks, _, err = PackRunOn(in, 4, eos, true)
	require.NoError(t, err)
	require.Equal(t, []int32{31, 32, 9}, blocks[2][0].IDs)
	require.Contains(t, counts.String(), "3 tokens left over")
}

func TestShuffleAndSplit(t *testing.T) {
	require.Equal(t, Permutation(50, 7), Permutation(50, 7))
	require.NotEqual(t, Permutation(50, 7), Permutation(50, 8))
	// Pinned: a change here changes every run ever made.
	require.Equal(t, []int{6, 8, 4, 1, 2, 5, 7, 0, 9, 3}, Permutation(10, 1))
	train, held := Split(100, 0.1, 3)
	require.Len(t, held, 10)
	require.Len(t, train, 90)
	all := append(slices.Clone(train), held...)
	slices.Sort(all)
	require.Equal(t, 99, all[99])
	require.True(t, slices.IsSorted(train))
	_, held = Split(3, 0.001, 1)
	require.Len(t, held, 1)
}

func TestSources(t *testing.T) {
	path := write(t, "c.jsonl", strings.Repeat(`{"prompt":"a","response":"b"}`+"\n", 20))
	rows, info, err := LoadConversations(Source{Path: path, Limit: 5})
	require.NoError(t, err)
	require.Len(t, rows, 5)
	require.Equal(t, Loaded{Path: path, Format: FormatCompletion, Rows: 20, Kept: 5}, info)

	train, _, err := LoadConversations(Source{Path: path, Split: SplitTrain, HeldOut: 0.25, Seed: 4})
	require.NoError(t, err)
	held, _, err := LoadConversations(Source{Path: path, Split: SplitHeldOut, HeldOut: 0.25, Seed: 4})
	require.NoError(t, err)
	require.Len(t, train, 15)
	require.Len(t, held, 5)
	lines := map[int]bool{}
	for _, c := range append(train, held...) {
		lines[c.Line] = true
	}
	require.Len(t, lines, 20)

	_, _, err = LoadPairs(Source{Path: path})
	require.ErrorIs(t, err, ErrWrongFormat)
	for _, bad := range []Source{{}, {Path: path, Format: "x"}, {Path: path, Split: "dev"},
		{Path: path, Split: SplitTrain}, {Path: path, Limit: -1}} {
		_, _, err = LoadConversations(bad)
		require.Error(t, err)
	}

	pairs := write(t, "p.jsonl", `{"prompt":"Q: ","chosen":"yes","rejected":"no","margin":0.5}`)
	got, _, err := LoadPairs(Source{Path: pairs})
	require.NoError(t, err)
	require.Equal(t, []Pair{{Prompt: "Q: ", Chosen: "yes", Rejected: "no", Margin: 0.5, Source: pairs, Line: 1}}, got)
	chosen, _ := got[0].Turns()
	require.Equal(t, []Message{{Role: RoleUser, Content: "Q: "}, {Role: RoleAssistant, Content: "yes"}}, chosen)

	tokens := write(t, "t.jsonl", `{"ids":[1,2,3],"mask":[0,true,1]}`)
	examples, _, err := LoadTokens(Source{Path: tokens})
	require.NoError(t, err)
	require.Equal(t, lm.Sequence{Tokens: []int32{1, 2, 3}, Targets: []int32{1, 2}, DropoutSeed: 5},
		examples[0].Sequence(5))
	require.ErrorIs(t, CheckVocab(examples[0].IDs, 3), lm.ErrBadToken)
}

func TestSummaryText(t *testing.T) {
	path := write(t, "d.csv",
		"label,scenario,excuse\n1,Are you late?,No.\n0,Are you late?,Yes.\n0,Are you late?,Yes.\n")
	s, err := Inspect(path)
	require.NoError(t, err)
	require.Equal(t, []LabelCount{{"0", 2, 2.0 / 3}, {"1", 1, 1.0 / 3}}, s.Labels)
	require.Equal(t, 1, s.Duplicates)
	require.Equal(t, FieldStats{Name: "excuse", Unit: "characters", Min: 3, Median: 4, Mean: 11.0 / 3, P95: 4, Max: 4},
		s.Fields[1])
	var b strings.Builder
	require.NoError(t, s.Write(&b))
	require.Contains(t, b.String(), "3 rows, 1 of them equal")
	require.Contains(t, b.String(), "label 0: 2 (66.7 %)")
}
